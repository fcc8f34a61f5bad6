"""Where the supervisors of one user live on this machine, and which of them are alive.

Each supervisor has a folder: its socket, a file that says who it is, the working files of its
stacks. The folder goes with the supervisor, unless something of a stack could not be removed: then
it stays with the log that says why, until `lab down --all`. Users of one machine never share a
root.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import stat
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lab_services.errors import LabError
from lab_services.paths import MOVE_STATE

# The shortest limit among the supported systems: macOS, with the end mark.
_SOCKET_PATH_MAX = 103
_KNOCK = 1.0  # seconds for a supervisor's socket to take a caller
LEFT = 3  # exit code of a supervisor that could not remove everything
_YOUNG = 60.0  # seconds; a folder that says nothing of its supervisor may belong to one that comes


class StackGone(LabError):
    """The stack, or the supervisor that owned it, is no more."""


@dataclass(frozen=True)
class SupervisorInfo:
    """Who a supervisor is: `owner` is the process it works for, None when it stands alone."""

    ident: str
    pid: int
    owner: int | None

    @property
    def folder(self) -> Path:
        return root() / self.ident

    @property
    def socket(self) -> Path:
        return self.folder / "supervisor.sock"

    @property
    def alive(self) -> bool:
        """True while the supervisor listens; the system closes the socket of a dead process."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_KNOCK)
            try:
                line.connect(str(self.socket))
            except (BlockingIOError, TimeoutError):
                return True  # it is there, and answers none of those who wait
            except OSError:
                return False
        return True

    def write(self) -> None:
        """Say who we are, for `lab ps` and `lab down --all`."""
        fresh = self.folder / ".supervisor.json"
        fresh.write_text(json.dumps(asdict(self)))
        fresh.rename(self.folder / "supervisor.json")


def place() -> Path:
    """Where this user's root folder is to be."""
    return Path(os.environ.get("LAB_STATE") or tempfile.gettempdir()) / f"lab-{os.getuid()}"


def root() -> Path:
    """This user's root folder, which need not exist. Raises LabError when it is not private."""
    folder = place()
    if len(os.fsencode(folder / "12345678" / "supervisor.sock")) > _SOCKET_PATH_MAX:
        raise LabError(f"{folder} is too long for a socket.", MOVE_STATE)
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return folder
    except OSError as error:
        raise LabError(f"{folder} cannot be used: {error.strerror}.", MOVE_STATE) from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise LabError(
            f"{folder} is not a private folder of yours.", "Remove it, or set LAB_STATE to another."
        )
    return folder


def make(ident: str) -> None:
    """Make a supervisor's folder, and the root with the first one. Raises LabError."""
    while True:
        try:
            root().mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(
                FileNotFoundError
            ):  # the last supervisor took the root with it
                (root() / ident).mkdir(mode=0o700)
                return
        except OSError as error:
            raise LabError(f"{root()} cannot be written: {error.strerror}.", MOVE_STATE) from None


def check() -> None:
    """Make a supervisor's folder and socket, and remove both. Raises LabError where that fails."""
    ident = secrets.token_hex(4)
    make(ident)
    address = SupervisorInfo(ident, os.getpid(), None).socket
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.bind(str(address))
    except OSError as error:
        raise no_socket(address, error) from None
    finally:
        remove(ident)


def no_socket(address: Path, error: OSError) -> LabError:
    """The error for a folder that is no place for a socket, as on some shared disks."""
    return LabError(f"There can be no socket in {address.parent}: {error.strerror}.", MOVE_STATE)


def supervisors() -> list[SupervisorInfo]:
    """Every supervisor of this user that has a folder, dead ones included."""
    found = []
    for file in sorted(root().glob("*/supervisor.json")):
        with contextlib.suppress(FileNotFoundError):  # it is just going
            found.append(SupervisorInfo(**json.loads(file.read_text())))
    return found


def remove(ident: str) -> None:
    """Remove a supervisor's folder, and the root with the last one."""
    shutil.rmtree(root() / ident, ignore_errors=True)
    with contextlib.suppress(OSError):  # another supervisor is in it, or has just removed it
        root().rmdir()


def left_behind() -> list[str]:
    """The folders of supervisors that are no more."""
    known = {info.ident: info.alive for info in supervisors()}
    found: list[str] = []
    for place in sorted(root().glob("*")):
        with contextlib.suppress(FileNotFoundError):  # it is just going
            young = time.time() - place.stat().st_mtime < _YOUNG
            if not known.get(place.name, young):
                found.append(place.name)
    return found
