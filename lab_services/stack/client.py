"""A notebook's, a test's or a terminal's end of the line to a keeper."""

import atexit
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from lab_services.errors import LabError
from lab_services.stack import state

_START_TIMEOUT = 30.0


class Keeper:
    """The line to one keeper process."""

    def __init__(self, info: state.KeeperInfo, process: subprocess.Popen[bytes] | None = None):
        self.info = info
        self._process = process

    @classmethod
    def begin(cls, alone: bool = False) -> "Keeper":
        """Start a keeper that lives as long as this process, or until told to go if `alone`."""
        ident = secrets.token_hex(4)
        errors = state.root() / f"{ident}.log"
        with errors.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "lab_services.stack.keeper", ident]
                + (["--alone"] if alone else []),
                stdin=subprocess.DEVNULL if alone else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert process.stdout is not None
        with process.stdout:
            ready = process.stdout.readline()
        if not ready:
            text = errors.read_text()
            errors.unlink()
            raise LabError(f"The keeper ended with {process.wait()} at its start.", text)
        errors.rename(state.root() / ident / "keeper.log")
        info = next(k for k in state.keepers() if k.ident == ident)
        return cls(info, process)

    def call(
        self, verb: str, progress: Callable[[str], None] | None = None, **arguments: Any
    ) -> Any:
        """Ask for a verb; `progress` gets each line of it.

        Raises the keeper's LabError, of the same class where it is known here.
        """
        with socket.socket(socket.AF_UNIX) as line:
            try:
                line.connect(str(self.info.socket))
            except OSError:
                raise LabError(
                    "The keeper of this stack has gone.", "Start the stack again: stack.up()."
                ) from None
            line.sendall(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
            for answer in _lines(line):
                if "progress" in answer:
                    if progress is not None:
                        progress(answer["progress"])
                elif "error" in answer:
                    raise _rebuild(answer["error"])
                else:
                    return answer["result"]
        raise LabError(f"The keeper ended while it was asked to {verb}.")

    def close(self) -> None:
        """Let the keeper go, and wait until everything it owned is gone."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
        else:
            self.call("leave")


_own: dict[int, Keeper] = {}
_own_lock = threading.Lock()


def own_keeper() -> Keeper:
    """This process's keeper, started at the first call."""
    with _own_lock:
        keeper = _own.get(os.getpid())
        if keeper is None or not keeper.info.alive:
            keeper = _own[os.getpid()] = Keeper.begin()
            # Without it the interpreter's exit would leave the tear-down to run on by itself.
            atexit.register(keeper.close)
        return keeper


def living() -> list[Keeper]:
    """Every keeper of this user that answers."""
    return [Keeper(info) for info in state.keepers() if info.alive]


def _lines(line: socket.socket) -> Iterator[dict[str, Any]]:
    with line.makefile("rb") as answers:
        for text in answers:
            yield json.loads(text)


def _rebuild(error: dict[str, str]) -> LabError:
    def kinds(base: type[LabError]) -> Iterator[type[LabError]]:
        yield base
        for child in base.__subclasses__():
            yield from kinds(child)

    found = next((k for k in kinds(LabError) if k.__name__ == error["kind"]), LabError)
    rebuilt = found.__new__(found)
    LabError.__init__(rebuilt, error["message"], error["hint"])
    return rebuilt
