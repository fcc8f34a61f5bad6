"""A quota of processor time from the kernel (Linux), where we may make a control group."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from lab_services import limits
from lab_services.waiting import tries

_PERIOD = 100_000  # microseconds, the kernel's own default
_PREFIX = "lab-steady-"  # then the process that has made it
_PATIENCE = 5.0  # seconds for the processes that have moved to be out of it


@dataclass(frozen=True)
class Group:
    """A control group of ours: its folder, and that of the group to which its processes return."""

    folder: Path
    before: Path

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Have this process in it, with all that it starts; then nothing of it is left."""
        try:
            _move(os.getpid(), self.folder)
            yield
        finally:
            for _ in tries(_PATIENCE):
                for pid in (self.folder / "cgroup.procs").read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        _move(int(pid), self.before)
                with contextlib.suppress(OSError):  # one has been forked meanwhile
                    self.folder.rmdir()
                    break


def with_quota(cores: float) -> Group | None:
    """A new group that may use so many cores; None where this process may not make one."""
    for before, above, version in limits.groups():
        _sweep(above)
        group = Group(above / f"{_PREFIX}{os.getpid()}", before)
        try:
            group.folder.mkdir()
        except OSError:
            continue
        try:
            _limit(group.folder, version, round(cores * _PERIOD))
            # There and back; first of all that the way back is open.
            for folder in (group.before, group.folder, group.before):
                _move(os.getpid(), folder)
        except OSError:
            group.folder.rmdir()
            continue
        return group
    return None


def _limit(folder: Path, version: int, quota: int) -> None:
    """Raises OSError where this tree does not count processor time."""
    if version == 2:
        _write(folder / "cpu.max", f"{quota} {_PERIOD}")
    else:
        _write(folder / "cpu.cfs_period_us", str(_PERIOD))
        _write(folder / "cpu.cfs_quota_us", str(quota))


def _write(file: Path, text: str) -> None:
    """Into a file that is there: the kernel makes those of a group."""
    with file.open("r+") as opened:
        opened.write(text)


def _move(pid: int, folder: Path) -> None:
    _write(folder / "cgroup.procs", str(pid))


def _sweep(above: Path) -> None:
    """Remove groups that processes have left which were killed."""
    for folder in above.glob(f"{_PREFIX}*"):
        if not psutil.pid_exists(int(folder.name.removeprefix(_PREFIX))):
            with contextlib.suppress(OSError):  # not ours, or something runs in it still
                folder.rmdir()
