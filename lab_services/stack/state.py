"""Where the keepers of one user live on this machine, and which of them are alive.

Each keeper has a folder: its socket, a file that says who it is, the working files of its stacks.
The folder goes with the keeper. Users of one machine never share a root.
"""

import json
import os
import shutil
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from lab_services.errors import LabError


@dataclass(frozen=True)
class KeeperInfo:
    """Who a keeper is: `owner` is the process it works for, None when it stands alone."""

    ident: str
    pid: int
    owner: int | None
    started: float  # creation time of the process, tells a reused process id

    @property
    def folder(self) -> Path:
        return root() / self.ident

    @property
    def socket(self) -> Path:
        return self.folder / "keeper.sock"

    @property
    def alive(self) -> bool:
        try:
            return psutil.Process(self.pid).create_time() == self.started
        except psutil.NoSuchProcess:
            return False

    def write(self) -> None:
        """Say who we are, for `lab ps` and `lab down --all`."""
        (self.folder / "keeper.json").write_text(json.dumps(asdict(self)))


def root() -> Path:
    """This user's root folder, made if need be. Raises LabError when somebody else owns it."""
    # Short, since the path of a Unix socket may have 104 bytes at most on macOS.
    place = Path(os.environ.get("LAB_STATE") or tempfile.gettempdir()) / f"lab-{os.getuid()}"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise LabError(
            f"{place} is not a private folder of yours.", "Remove it, or set LAB_STATE to another."
        )
    return place


def keepers() -> list[KeeperInfo]:
    """Every keeper of this user that has a folder, dead ones included."""
    found = []
    for file in sorted(root().glob("*/keeper.json")):
        try:
            found.append(KeeperInfo(**json.loads(file.read_text())))
        except (FileNotFoundError, json.JSONDecodeError):
            continue  # it is just coming or going
    return found


def remove(ident: str) -> None:
    """Remove a keeper's folder, and the root with the last one."""
    shutil.rmtree(root() / ident, ignore_errors=True)
    if not any(root().iterdir()):
        root().rmdir()
