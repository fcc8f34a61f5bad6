"""How much of the machine went to somebody else while something was measured."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

# A container engine, or the machine in which it runs, works for the stacks that are measured.
_ENGINE = ("dockerd", "containerd", "com.docker", "qemu-system", "limactl", "colima")


@dataclass
class Others:
    """Shares of the machine's processor time: stolen by its host, used by other programs."""

    stolen: float = 0.0
    used: float = 0.0

    @property
    def share(self) -> float:
        """Both together."""
        return self.stolen + self.used

    def __str__(self) -> str:
        return (
            f"{self.share:.0%} of this machine went to something else "
            f"({self.stolen:.0%} to its host, {self.used:.0%} to other programs)"
        )


@dataclass(frozen=True)
class _Used:
    """Seconds of processor time of a process, and of its children that have ended."""

    own: float
    children: float
    parent: int


@contextmanager
def watched() -> Iterator[Others]:
    """Watch what others take; the shares are there when the block has ended.

    Other programs are those that were running already when the block began, with what they have
    started since and seen the end of. Not among them are this process, what has started it, and a
    container engine. A program that somebody starts meanwhile and that still runs at the end is
    not seen.
    """
    found = Others()
    begin, stolen = time.monotonic(), _stolen()
    before = {process: used for process in _foreign() if (used := _used(process)) is not None}
    try:
        yield found
    finally:
        machine = (time.monotonic() - begin) * (psutil.cpu_count() or 1)
        found.used = _taken(before, {process: _used(process) for process in before}) / machine
        found.stolen = (_stolen() - stolen) / machine


def _taken(
    before: Mapping[psutil.Process, _Used], after: Mapping[psutil.Process, _Used | None]
) -> float:
    """Seconds of processor time between the two; None stands for a process that has ended."""
    ended = [before[process] for process, now in after.items() if now is None]
    seconds = 0.0
    for process, now in after.items():
        if now is not None:
            # A child that ended brings its whole life: what it used before is not of this time.
            brought = sum(each.own + each.children for each in ended if each.parent == process.pid)
            seconds += now.own - before[process].own
            seconds += max(0.0, now.children - before[process].children - brought)
    return seconds


def _foreign() -> list[psutil.Process]:
    own = psutil.Process()
    ours = {own, *own.parents(), *own.children(recursive=True)}
    return [each for each in psutil.process_iter() if each not in ours and not _engine(each)]


def _engine(process: psutil.Process) -> bool:
    try:
        return process.name().startswith(_ENGINE)
    except psutil.Error:
        return False  # it has gone meanwhile, and its time cannot be asked either


def _used(process: psutil.Process) -> _Used | None:
    """None when it cannot be told, or has ended."""
    try:
        user, system, children_user, children_system = process.cpu_times()[:4]
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return _Used(user + system, children_user + children_system, process.ppid())
    except psutil.Error:
        return None


def _stolen() -> float:
    return float(getattr(psutil.cpu_times(), "steal", 0.0))  # macOS knows of none
