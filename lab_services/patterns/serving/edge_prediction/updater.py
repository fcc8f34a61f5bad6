"""How a device gets a new model: look, download, verify, swap, prove, and go back if need be."""

import asyncio
import hashlib
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import aiohttp

from lab_services.patterns.serving.edge_prediction import packages
from lab_services.patterns.serving.edge_prediction.packages import EdgeModel, Failed, Refused

# What loading a file as a model can raise: MemoryError, and the runtime's own, which share no base.
LOADING = Exception
OFFLINE = (aiohttp.ClientError, TimeoutError)
NOTHING = b"{}"  # what a store says that has nothing yet

log = logging.getLogger(__name__)


class Updater:
    """The packages on a device's disk, and the one that it runs.

    `current` and `previous` in `folder` point to packages. A pointer changes in one step or not at
    all, so whenever the power fails, there is a whole package to start from. With `careful` off
    it takes whatever the store says is the newest: for comparison.
    """

    def __init__(self, folder: Path, key: str, *, careful: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.key, self.careful = folder, key, careful
        self.model: EdgeModel | None = None
        self.events: list[dict[str, Any]] = []
        self.tried: set[bytes] = set()  # what was refused or rolled back: once is enough

    # --- the pattern ------------------------------------------------------------------------------

    async def look(self, store: aiohttp.ClientSession) -> None:
        """Ask for a newer package and take it. Raises one of OFFLINE where nobody answers."""
        async with store.get("/latest") as answer:
            answer.raise_for_status()
            told = await answer.read()
        if told in (NOTHING, *self.tried):
            return
        version = 0  # of what cannot be read
        try:
            manifest = packages.read(told)
            version = manifest["version"]
            if self.careful:
                packages.check_signature(manifest, self.key)
            if version <= self.version:
                return  # never back to an older one, even if it is properly signed
            await self.download(store, manifest)
            self.install(manifest)
            self.told(version, "installed")
        except (Refused, Failed) as problem:
            self.tried.add(told)
            outcome = "refused" if isinstance(problem, Refused) else "rolled back"
            self.told(version, outcome, problem)

    async def download(self, store: aiohttp.ClientSession, manifest: packages.Manifest) -> None:
        """To the disk, never whole in memory."""
        place = self.place(manifest["version"])
        place.mkdir(exist_ok=True)
        digest, size = hashlib.sha256(), 0
        async with store.get(f"/packages/{manifest['version']}") as answer:
            with (place / "model.onnx").open("wb") as file:
                async for part in answer.content.iter_chunked(1 << 16):
                    digest.update(part)
                    size += file.write(part)
        if self.careful:
            packages.check_content(manifest, size, digest.hexdigest())
        (place / "manifest.json").write_text(json.dumps(manifest))

    def install(self, manifest: packages.Manifest) -> None:
        """Swap, load, prove; back to the one before where that fails. Raises Failed then.

        The model that runs goes on answering until the new one has proved itself.
        """
        before = self.pointed("current")
        if before:
            self.point("previous", before)
        self.point("current", str(manifest["version"]))
        if not self.careful:
            self.model = None
        try:
            model = EdgeModel(self.folder / "current")
            if self.careful:
                model.prove()
        except LOADING as problem:
            if self.careful and before:
                self.point("current", before)
            raise Failed(f"{type(problem).__name__}: {problem}") from problem
        self.model = model

    def start(self) -> None:
        """From the disk, without a network: the current package, or else the one before it."""
        for name in ("current", "previous") if self.careful else ("current",):
            try:
                model = EdgeModel(self.folder / name)
                if self.careful:
                    model.prove()
            except LOADING as problem:
                log.warning("no start", extra={"package": name, "why": str(problem)})
                continue
            self.model = model
            return

    def point(self, name: str, to: str) -> None:
        """Let `name` lead to another package, in one step."""
        new = self.folder / f".{name}"
        new.unlink(missing_ok=True)
        new.symlink_to(to)
        os.replace(new, self.folder / name)

    # --- around it --------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Of the model that runs; 0 without one."""
        return self.model.version if self.model else 0

    def place(self, version: int) -> Path:
        return self.folder / str(version)

    def pointed(self, name: str) -> str:
        """Where `name` leads to; nothing where there is no such pointer."""
        link = self.folder / name
        return os.readlink(link) if link.is_symlink() else ""

    def told(self, version: int, outcome: str, problem: Exception | None = None) -> None:
        event = {"version": version, "outcome": outcome, "at": time.time()}
        self.events.append(event | {"reason": str(problem or "")})
        log.info("package", extra=self.events[-1])

    async def follow(self, store: aiohttp.ClientSession, every: float, first: float = 0.0) -> None:
        """Look every so many seconds, for the first time after `first`, for ever."""
        due = time.monotonic() + first
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            try:
                await self.look(store)
            except OFFLINE as problem:
                log.debug("offline", extra={"why": str(problem)})
            due = max(due + every, time.monotonic())
