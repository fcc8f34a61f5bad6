"""Wait for what a running stack will do, for so long and no longer."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from lab_services.errors import LabError

_T = TypeVar("_T")


def tries(patience: float, every: float = 0.02) -> Iterator[None]:
    """Once at once, then each `every` seconds, and a last time when `patience` seconds are over.

    >>> for _ in tries(5.0):                            # doctest: +SKIP
    ...     if there():
    ...         break
    """
    until = time.monotonic() + patience
    while True:
        last = time.monotonic() >= until
        yield
        if last:
            return
        time.sleep(min(every, max(0.0, until - time.monotonic())))


def wait_until(
    condition: Callable[[], _T], patience: float, what: str, *, every: float = 0.02
) -> _T:
    """What `condition` gives as soon as it is true; it is asked each `every` seconds.

    Raises LabError, which says `what` has not happened, after `patience` seconds.

    >>> wait_until(lambda: 7, 1.0, "the answer")
    7
    """
    for _ in tries(patience, every):
        if found := condition():
            return found
    raise LabError(
        f"Within {patience:g} s this has not happened: {what}.",
        "The stack's state and stack.logs(…) show what its services do.",
    )
