"""Where the keepers of one user live on this machine, and which of them are alive.

Each keeper has a folder: its socket, a file that says who it is, the working files of its stacks.
The folder goes with the keeper. Users of one machine never share a root.
"""

import contextlib
import json
import os
import shutil
import socket
import stat
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lab_services.errors import LabError

# The shortest limit among the supported systems: macOS, with the end mark.
_SOCKET_PATH_MAX = 103
_YOUNG = 60.0  # seconds; a folder that says nothing of its keeper may belong to one that comes


class StackGone(LabError):
    """The stack, or the keeper that owned it, is no more."""


@dataclass(frozen=True)
class KeeperInfo:
    """Who a keeper is: `owner` is the process it works for, None when it stands alone."""

    ident: str
    pid: int
    owner: int | None

    @property
    def folder(self) -> Path:
        return root() / self.ident

    @property
    def socket(self) -> Path:
        return self.folder / "keeper.sock"

    @property
    def alive(self) -> bool:
        """True while the keeper listens; the system closes the socket of a dead process."""
        with socket.socket(socket.AF_UNIX) as line:
            try:
                line.connect(str(self.socket))
            except OSError:
                return False
        return True

    def write(self) -> None:
        """Say who we are, for `lab ps` and `lab down --all`."""
        fresh = self.folder / ".keeper.json"
        fresh.write_text(json.dumps(asdict(self)))
        fresh.rename(self.folder / "keeper.json")


def root() -> Path:
    """This user's root folder, which need not exist. Raises LabError when it is not private."""
    place = Path(os.environ.get("LAB_STATE") or tempfile.gettempdir()) / f"lab-{os.getuid()}"
    if len(os.fsencode(place / "12345678" / "keeper.sock")) > _SOCKET_PATH_MAX:
        raise LabError(f"{place} is too long for a socket.", "Set LAB_STATE to a shorter folder.")
    try:
        status = place.lstat()
    except FileNotFoundError:
        return place
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise LabError(
            f"{place} is not a private folder of yours.", "Remove it, or set LAB_STATE to another."
        )
    return place


def make(ident: str) -> None:
    """Make a keeper's folder, and the root with the first one."""
    while True:
        root().mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # the last keeper took the root with it
            (root() / ident).mkdir(mode=0o700)
            return


def keepers() -> list[KeeperInfo]:
    """Every keeper of this user that has a folder, dead ones included."""
    found = []
    for file in sorted(root().glob("*/keeper.json")):
        with contextlib.suppress(FileNotFoundError):  # it is just going
            found.append(KeeperInfo(**json.loads(file.read_text())))
    return found


def remove(ident: str) -> None:
    """Remove a keeper's folder, and the root with the last one."""
    shutil.rmtree(root() / ident, ignore_errors=True)
    with contextlib.suppress(OSError):  # another keeper is in it, or has just removed it
        root().rmdir()


def left_behind() -> list[str]:
    """The folders of keepers that are no more."""
    known = {info.ident: info.alive for info in keepers()}
    found: list[str] = []
    for place in sorted(root().glob("*")):
        with contextlib.suppress(FileNotFoundError):  # it is just going
            young = time.time() - place.stat().st_mtime < _YOUNG
            if not known.get(place.name, young):
                found.append(place.name)
    return found
