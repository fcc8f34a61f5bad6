"""What a lab needs of this machine, asked one thing at a time."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import metadata
from pathlib import Path

from lab_services import limits, paths, writing
from lab_services.errors import LabError

# A lab fits the 1 GB of a Binder session, notebook and services together.
_MEMORY = 1e9  # bytes
_DISK = 1e9  # bytes: models, logs and kept runs are small; less than this fills up soon
SERVERS = ("envoy", "redis-server", "postgres", "prometheus")
# The browsers that the tests of the book can drive; the last is no command but where macOS has it.
_BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


class State(StrEnum):
    """`LIMITED`: some labs or one of the runtimes; `BROKEN`: no lab can run."""

    OK = "ok"
    LIMITED = "limited"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """What was asked, how it is, and what to do about it where it is not well."""

    what: str
    state: State
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.text}" + (f"\n  {self.remedy}" if self.remedy else "")


def findings() -> Iterator[Finding]:
    """Every check, in the order in which its remedies should be tried."""
    yield _python()
    yield environment(paths.repository(), Path(sys.prefix))
    places = list(written())
    yield from places
    yield from models(places[0].remedy)
    outside = list(from_outside())
    yield from outside
    yield memory(limits.available_memory())
    for folder in dict.fromkeys((_existing(paths.cache_dir()), Path(tempfile.gettempdir()))):
        yield disk(folder, shutil.disk_usage(folder).free)
    yield _ports()
    yield from _labs(engine=outside[0].state is State.OK)


def from_outside() -> Iterator[Finding]:
    """What `make env` does not bring everywhere: Docker first, the servers, a browser.

    What is missing here is what tests are skipped for.
    """
    yield from _docker()
    for command in SERVERS:
        yield binary(command)
    yield chromium()


def chromium() -> Finding:
    """Whether there is a browser that tests can drive; its text is the program."""
    if program := next(filter(None, map(shutil.which, _BROWSERS)), None):
        return Finding("Chromium", State.OK, program)
    return Finding(
        "Chromium",
        State.LIMITED,
        "missing: no lab needs it, the tests of the book's pages do",
        "Debian: `apt-get install chromium`. macOS: `brew install --cask google-chrome`.",
    )


def _python() -> Finding:
    from packaging.specifiers import SpecifierSet

    version = ".".join(map(str, sys.version_info[:3]))
    supported = SpecifierSet(metadata("lab-services")["Requires-Python"])
    if version in supported:
        return Finding("Python", State.OK, f"{version} ({sys.executable})")
    return Finding(
        "Python",
        State.BROKEN,
        f"{version} is not supported ({supported})",
        "Choose one: PYTHON=3.12 make env",
    )


def environment(repository: Path, prefix: Path) -> Finding:
    """Whether the packages in `prefix` are those of the lock file."""
    what = "packages"
    if not (repository / "uv.lock").exists():
        return Finding(what, State.OK, "not a checkout: no lock file to compare with")
    uv = shutil.which("uv", path=f"{repository / '.uv/bin'}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        return Finding(
            what, State.LIMITED, "uv, which could compare them with uv.lock, is missing", "make env"
        )
    asked = subprocess.run(
        [uv, "sync", "--frozen", "--check", "--offline", "--python", sys.executable],
        cwd=repository,
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(prefix)},
        capture_output=True,
        text=True,
    )
    if asked.returncode == 0:
        return Finding(what, State.OK, f"those of uv.lock ({prefix})")
    return Finding(
        what,
        State.LIMITED,
        f"{prefix} is not what uv.lock says: {_last_line(asked.stderr)}",
        "make env",
    )


def written() -> Iterator[Finding]:
    """Whether labs can write where they will: first models, then kept runs and stacks."""
    from lab_services.stack import state

    runs = paths.repository() / "runs"
    for what, folder, attempt, otherwise in (
        (
            "place of models",
            paths.models_dir(),
            lambda: writing.lockable(paths.models_dir(), paths.move_models()),
            State.LIMITED,  # what has been built can be read
        ),
        ("place of runs", runs, lambda: writing.ready(runs, paths.MOVE_RUNS), State.LIMITED),
        ("place of stacks", state.place(), state.check, State.BROKEN),
    ):
        new = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
        try:
            attempt()
            yield Finding(what, State.OK, str(folder))
        except LabError as error:
            yield Finding(what, otherwise, error.message, error.hint)
        finally:
            for each in new:
                with contextlib.suppress(OSError):  # never made, or somebody has written into it
                    each.rmdir()


def models(first: str) -> Iterator[Finding]:
    """`first` is what to do before any model can be built."""
    from lab_services.models import build, store

    files = {f"model {name}": store.model_path(name) for name in build.NAMES}
    files["flights to send"] = store.payloads_path()
    optional = {f"model {name}" for name in set(build.NAMES) - set(build.DEFAULT)}
    for what, path in files.items():
        found = model(what, lambda path=path: store.verify(path), what in optional)  # type: ignore[misc]
        yield (
            replace(found, remedy=f"{first} Then: {found.remedy}")
            if found.remedy and first
            else found
        )


def model(what: str, verify: Callable[[], object], optional: bool) -> Finding:
    """Whether a model is there and whole; `optional` ones are built when a lab asks for them."""
    from lab_services.models import store

    remedy = f"lab models {what.removeprefix('model ')}" if optional else "lab models"
    try:
        verify()
    except store.ModelMissing as error:
        state = State.OK if optional else State.BROKEN
        text = "not built; few labs need it" if optional else error.message
        return Finding(what, state, text, remedy)
    except store.ModelDamaged as error:
        return Finding(what, State.BROKEN, error.message, remedy)
    return Finding(what, State.OK, "whole")


def _docker() -> list[Finding]:
    """The engine with Compose, then the image; the second only where the first is well."""
    from lab_services.stack import engine
    from lab_services.stack.runtime import RuntimeUnavailable

    try:
        compose = " ".join(engine.compose_command())
        found = engine.connect()
    except RuntimeUnavailable as error:
        return [Finding("Docker", State.LIMITED, error.message, error.hint)]
    version = found.client.version()["Version"]
    well = Finding("Docker", State.OK, f"engine {version} at {found.host}, Compose: {compose}")
    try:
        return [well, _image(found.client)]
    finally:
        found.client.close()


def _image(client: object) -> Finding:
    import docker

    from lab_services.stack import image

    assert isinstance(client, docker.DockerClient)
    try:
        tag = image.name()
        client.images.get(tag)
    except docker.errors.ImageNotFound:
        text = "not built for this state of the sources: the first stack builds it, in minutes"
        return Finding("image", State.OK, text)
    except LabError as error:
        return Finding("image", State.LIMITED, error.message, error.hint)
    return Finding("image", State.OK, tag)


def binary(command: str) -> Finding:
    """Whether a server can run as a plain process."""
    from lab_services.stack import servers

    try:
        return Finding(command, State.OK, servers.binary(command))
    except servers.BinaryMissing as error:
        text = "missing: labs with it need Docker here"
        return Finding(command, State.LIMITED, text, error.hint)


def memory(available: float) -> Finding:
    """Whether a lab fits into so many bytes."""
    text = f"{available / 1e9:.1f} GB available"
    if available >= _MEMORY:
        return Finding("memory", State.OK, text)
    remedy = f"A lab needs up to {_MEMORY / 1e9:g} GB: end other programs, or `lab down --all`."
    return Finding("memory", State.LIMITED, text, remedy)


def disk(folder: Path, free: float) -> Finding:
    """Whether so many free bytes of a folder's disk are enough."""
    text = f"{free / 1e9:.1f} GB free at {folder}"
    if free >= _DISK:
        return Finding("disk", State.OK, text)
    remedy = "Make room, or move them: LAB_CACHE for models, LAB_STATE and TMPDIR for stacks."
    return Finding("disk", State.LIMITED, text, remedy)


def _ports() -> Finding:
    from lab_services.stack.ports import free_port
    from lab_services.stack.runtime import PortTaken

    try:
        free_port(set())
    except PortTaken as error:
        return Finding("ports", State.BROKEN, error.message, error.hint)
    return Finding("ports", State.OK, "free ones on loopback")


def _labs(engine: bool) -> Iterator[Finding]:
    from lab_services.stack import catalogue

    names = catalogue.labs()
    if not names:
        yield Finding("labs", State.BROKEN, "there is no lab", "Get a whole checkout.")
        return
    found = [lab(name, engine) for name in names]
    if all(each.state is State.BROKEN for each in found):
        yield from found
        return
    # One lab that can run is enough for the whole; the others are limits.
    for each in found:
        broken = each.state is State.BROKEN
        yield Finding(each.what, State.LIMITED if broken else each.state, each.text, each.remedy)


def lab(name: str, engine: bool) -> Finding:
    """On which runtimes a lab can run here: needs the servers, or a Docker `engine`; free ports."""
    from lab_services.stack.needs import missing_programs

    try:
        missing = [error.program for error in missing_programs(name)]
    except LabError as error:
        return Finding(name, State.BROKEN, error.message, error.hint)
    runtimes = ["docker"] * engine + ["process"] * (not missing)
    if not runtimes:
        return Finding(
            name,
            State.BROKEN,
            f"needs Docker, or {', '.join(missing)}",
            "Start Docker, or see above how to get what is missing.",
        )
    return Finding(name, State.OK, f"runs on {' and '.join(runtimes)}")


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "uv does not say why"
