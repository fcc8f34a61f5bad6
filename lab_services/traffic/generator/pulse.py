"""Times at which this process was not run, though it had asked to be."""

import time

import gevent

_BEAT = 0.05  # seconds
# On shared cores a process waits for some hundredths of a second, under a quota for nearly 0.1 s.
_LONG = 0.15


class Pulse:
    """Asks to be woken twenty times a second, and notes when that did not happen.

    Where the process was at work for at least half of such a time, that was its own doing.
    """

    def __init__(self) -> None:
        self._missed: list[tuple[float, float]] = []
        self._beating = gevent.spawn(self._beat)

    def ended(self) -> list[tuple[float, float]]:
        """End it; gives from when to when it was not run, by the monotonic clock."""
        self._beating.kill()
        return self._missed

    def _beat(self) -> None:
        clock, used = time.monotonic(), time.process_time()
        while True:
            gevent.sleep(_BEAT)
            due, now, used_now = clock + _BEAT, time.monotonic(), time.process_time()
            if now - due > _LONG and used_now - used < (now - due) / 2:
                self._missed.append((due, now))
            clock, used = now, used_now
