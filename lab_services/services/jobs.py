"""The frame of a scheduler: a job on a schedule, each run a process of its own.

What fires is APScheduler. A run that crashes, is killed or leaks takes nothing but itself along,
and its exit code says how it ended.
"""

import asyncio
import multiprocessing
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from prometheus_client import Gauge
from typing_extensions import TypedDict

from lab_services.services.service import Service

# Runs are forked from a process that has imported everything, so one starts in milliseconds. The
# system libraries of macOS do not survive a fork: there each run takes seconds to import.
_METHOD = "forkserver" if sys.platform == "linux" else "spawn"


class Ended(TypedDict):
    """How a run ended: 0 is well, a negative number is the signal that killed it."""

    exit_code: int
    seconds: float


class JobRunner(Service):
    """A service with APScheduler inside, as `plan`.

    `planned` makes that APScheduler when the service starts; jobs are added to it later. `imports`
    names a module that imports all that a run needs, and `first` is what the first process does,
    which makes those imports while the service starts. /metrics tells when a run last ended well,
    for an alarm on absence.

    >>> app = JobRunner("nightly", BackgroundScheduler, imports="lab_services.patterns.….job")
    >>> app.run(job.main, order)
    {'exit_code': 0, 'seconds': 1.73}
    """

    plan: Any

    def __init__(
        self,
        title: str,
        planned: Callable[[], BackgroundScheduler],
        *,
        imports: str,
        first: Callable[[], object] = os.getpid,
    ) -> None:
        super().__init__(title, lifespan=self._running)
        self._planned, self._imports, self._first = planned, imports, first
        self._last_success = Gauge(
            "job_last_success_timestamp_seconds",
            "When the job last ended well",
            registry=self.registry,
        )

    def run(self, target: Callable[..., object], *arguments: object) -> Ended:
        """Run a function of a module in a process of its own and wait for its end."""
        began = time.perf_counter()
        process = self._process(target, *arguments)
        process.start()
        process.join()
        code = int(process.exitcode or 0)
        if code == 0:
            self._last_success.set_to_current_time()
        return {"exit_code": code, "seconds": time.perf_counter() - began}

    def _process(self, target: Callable[..., object], *arguments: object) -> Any:
        context: Any = multiprocessing.get_context(_METHOD)
        context.set_forkserver_preload([self._imports])
        return context.Process(target=target, args=arguments)

    @asynccontextmanager
    async def _running(self, _: Service) -> AsyncIterator[None]:
        self.plan = self._planned()
        await asyncio.to_thread(self._process(self._first).start)
        self.plan.start()
        yield
        self.plan.shutdown(wait=False)
