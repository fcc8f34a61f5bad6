"""The scheduler: fires the job on a schedule or by hand, each run a process of its own."""

import asyncio
import multiprocessing
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

from apscheduler.events import (  # type: ignore[import-untyped]
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    JobEvent,
)
from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]
from prometheus_client import Gauge
from pydantic import Field
from typing_extensions import TypedDict

from lab_services.patterns.serving.batch import job, tables
from lab_services.patterns.serving.batch.job import Order
from lab_services.services.service import Service

# Runs are forked from a process that has imported everything, so one starts in milliseconds.
context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
context.set_forkserver_preload([job.__name__])


class Plan(TypedDict):
    """A run each `every` seconds, so many times; with `one_at_a_time` a firing that finds the run
    before it still at work is left out."""

    order: Order
    every: Annotated[float, Field(gt=0, le=86_400, examples=[60.0])]
    firings: Annotated[int, Field(ge=1, le=1000, examples=[3])]
    one_at_a_time: bool


class Ended(TypedDict):
    """How a run ended: 0 is well, 1 failed, 3 found another at work."""

    exit_code: int
    seconds: float


def run(order: Order) -> Ended:
    """Run the job in a process of its own and wait for its end."""
    began = time.perf_counter()
    started = context.Process(target=job.main, args=(order,))
    started.start()
    started.join()
    if started.exitcode == 0:
        app.last_success.set_to_current_time()
    return {"exit_code": started.exitcode or 0, "seconds": time.perf_counter() - began}


class Scheduler(Service):
    """The service, with APScheduler inside."""

    def __init__(self) -> None:
        super().__init__("batch scheduler", self._running)
        self.last_success = Gauge(
            "job_last_success_timestamp_seconds",
            "When the job last ended well",
            registry=self.registry,
        )

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        with tables.connect() as database:
            tables.create(database)
        self.plan = BackgroundScheduler(timezone="UTC")
        self.current, self.over = "", 0
        ends = EVENT_JOB_EXECUTED | EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES
        self.plan.add_listener(self._count, ends)
        await asyncio.to_thread(context.Process(target=time.time).start)  # makes the imports
        self.plan.start()
        yield
        self.plan.shutdown(wait=False)

    def _count(self, event: JobEvent) -> None:
        self.over += event.job_id == self.current


app = Scheduler()


@app.post("/runs")
async def run_now(order: Order) -> Ended:
    """Run the job now; answers when it has ended."""
    return await asyncio.to_thread(run, order)


@app.post("/schedule")
async def schedule(plan: Plan) -> dict[str, float]:
    """Begin a schedule, in the place of any other; when it fires first (Unix seconds)."""
    first = time.time() + 0.1
    last = first + plan["every"] * (plan["firings"] - 0.5)
    app.plan.remove_all_jobs()
    app.current, app.over = f"nightly {first}", 0
    app.plan.add_job(
        run,
        "interval",
        seconds=plan["every"],
        start_date=datetime.fromtimestamp(first).astimezone(),
        end_date=datetime.fromtimestamp(last).astimezone(),
        args=[plan["order"]],
        max_instances=1 if plan["one_at_a_time"] else 10,
        coalesce=False,
        misfire_grace_time=None,
        id=app.current,
    )
    return {"first": first}


@app.get("/schedule")
async def firings() -> dict[str, int]:
    """How many firings of the schedule are over: their runs have ended, or they were left out."""
    return {"over": app.over}
