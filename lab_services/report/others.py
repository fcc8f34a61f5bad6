"""How much of the machine went to somebody else while something was measured."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

# A container engine works for the stacks that are measured.
_ENGINE = ("dockerd", "containerd")


@dataclass
class Others:
    """Shares of the machine's processor time: stolen by its host, used by programs of before."""

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


@contextmanager
def watched() -> Iterator[Others]:
    """Watch what others take; the shares are there when the block has ended.

    Other programs are those that ran when the block began, with what they started and have seen
    the end of since. Not among them are this process, what has started it, and a container engine.
    """
    found = Others()
    begin, stolen = time.monotonic(), _stolen()
    before = {process: used for process in _foreign() if (used := _used(process)) is not None}
    try:
        yield found
    finally:
        machine = (time.monotonic() - begin) * (psutil.cpu_count() or 1)
        after = {process: _used(process) for process in before}
        used = sum(now - before[process] for process, now in after.items() if now is not None)
        found.used = used / machine
        found.stolen = (_stolen() - stolen) / machine


def _foreign() -> list[psutil.Process]:
    own = psutil.Process()
    ours = {own, *own.parents(), *own.children(recursive=True)}
    return [each for each in psutil.process_iter() if each not in ours and not _engine(each)]


def _engine(process: psutil.Process) -> bool:
    try:
        return process.name().startswith(_ENGINE)
    except psutil.Error:
        return False  # it has gone meanwhile, and its time cannot be asked either


def _used(process: psutil.Process) -> float | None:
    """Seconds of processor time, with that of ended children; None when it cannot be told."""
    try:
        return float(sum(process.cpu_times()[:4]))  # user, system, and both of the children
    except psutil.Error:
        return None


def _stolen() -> float:
    return float(getattr(psutil.cpu_times(), "steal", 0.0))  # macOS knows of none
