"""How a program of this project ends when it is told to."""

import ctypes
import signal
import sys
from types import FrameType

INTERRUPTED = 130
_PR_SET_PDEATHSIG = 1


def by_exception() -> None:
    """Let SIGTERM and SIGHUP end this process as an exception, with 128 and their number.

    So what was being started or written is taken back on the way out, as after Ctrl-C.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)


def with_parent() -> None:
    """Be told to end (SIGTERM) when the parent dies, even by SIGKILL. Only Linux can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
