"""How much of the machine went to somebody else while something was measured."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from lab_services import processor_time


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
    before = processor_time.of(_foreign())
    try:
        yield found
    finally:
        machine = (time.monotonic() - begin) * (psutil.cpu_count() or 1)
        found.used = processor_time.taken(before, processor_time.of(before)) / machine
        found.stolen = (_stolen() - stolen) / machine


def _foreign() -> list[psutil.Process]:
    ours = processor_time.ours()
    return [each for each in psutil.process_iter() if each not in ours]


def _stolen() -> float:
    return float(getattr(psutil.cpu_times(), "steal", 0.0))  # macOS knows of none
