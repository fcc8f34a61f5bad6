"""A share of a core for a service, kept by the service itself.

A container's limit (`cpus: 0.3`, a quota of the Linux scheduler) exists on one runtime only. This
one works on both: after each piece of work the process rests until the processor time it has used
is no more than its share of the time that has passed. The work itself is real and as long as ever.
"""

import asyncio
import time
from types import TracebackType

from lab_services.services import settings

# Seconds that a process may be ahead of its share: timers are late by a millisecond or two, and
# what they lose is made up for.
_AHEAD = 0.01


class CpuThrottle:
    """One piece of work at a time, at CPU_SHARE of a core (default 1: no rest at all).

    >>> throttle = CpuThrottle()
    >>> async with throttle:
    ...     answer = model.predict(rows)

    Processor time that the process uses between two pieces of work counts with the later one.
    Raises LabError where CPU_SHARE is not from 0.01 to 1.
    """

    def __init__(self) -> None:
        self._share = settings.number("CPU_SHARE", 1, low=0.01, high=1)
        self._turn = asyncio.Lock()
        self._counted: float | None = None  # processor seconds that have been paid for
        self._free_at = 0.0

    async def __aenter__(self) -> None:
        await self._turn.acquire()
        if self._counted is None:  # what the start of the process took is not held against it
            self._counted = time.process_time()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            now, counted = time.monotonic(), time.process_time()
            used = counted - (self._counted or 0.0)
            self._counted = counted
            earliest = now - used - _AHEAD
            self._free_at = max(self._free_at, earliest) + used / self._share
            if self._free_at > now and self._share < 1:
                await asyncio.sleep(self._free_at - now)
        finally:
            self._turn.release()
