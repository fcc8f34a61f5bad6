"""Hold a plain process to a share of the processor, without the rights that cgroups need."""

import contextlib
import signal
import time

import psutil

from lab_services.stack.zygote_client import Child

INTERVAL = 0.01  # seconds between two looks, and the unit in which systems count processor time
_PERIOD = 0.1  # seconds, as of the kernel's own quota: an idle service saves up no more than that
_FAMILY = 0.5  # seconds between two looks for processes that the service has started


class Throttle:
    """Stops a service's processes when they have used more than their share, and lets them go on.

    A bucket of processor time fills by `cores` seconds a second, and holds a tenth of a second's
    worth; what is used is taken out; while it is empty all processes of the service are stopped
    (SIGSTOP), as cpulimit does. The kernel's quota for containers (CFS bandwidth control) works
    by the same rule. On the average the share is true to some per cent; a single stop is longer
    than the kernel's by up to 10 ms a thread, since use is looked at that often and no more.
    """

    def __init__(self, child: Child) -> None:
        self.child = child
        self._credit = 0.0
        self._seen = self._family_seen = 0.0
        self._used = 0.0
        self._family: list[psutil.Process] = []
        self._stopped = False

    def look(self, cores: float, paused: bool) -> None:
        """Compare what was used since the last look; a replica that is paused stays so."""
        now = time.monotonic()
        used = self._use(now)
        if self._seen:
            full = cores * _PERIOD
            self._credit = min(self._credit + cores * (now - self._seen), full)
            self._credit -= used - self._used
        self._seen, self._used = now, used
        if self._credit < 0:
            self.child.signal(signal.SIGSTOP)
            self._stopped = True
        elif self._stopped:
            self.release(paused)

    def release(self, paused: bool) -> None:
        """Let it go on, unless it is paused."""
        self._stopped = False
        if not paused:
            self.child.signal(signal.SIGCONT)

    def _use(self, now: float) -> float:
        """Seconds of processor time of the service so far."""
        used = 0.0
        if now - self._family_seen > _FAMILY:
            self._family_seen = now
            with contextlib.suppress(psutil.NoSuchProcess):
                leader = psutil.Process(self.child.pid)
                self._family = [leader, *leader.children(recursive=True)]
        for process in self._family:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used += times.user + times.system
        return max(used, self._used)  # what has ended is not counted any more
