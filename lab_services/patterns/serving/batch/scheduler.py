"""The scheduler: fires the job on a schedule or by hand, each run a process of its own."""

import asyncio
import time
from datetime import datetime
from typing import Annotated

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    JobEvent,
)
from apscheduler.schedulers.background import BackgroundScheduler
from pydantic import Field
from typing_extensions import TypedDict

from lab_services.patterns.serving.batch import job, tables
from lab_services.patterns.serving.batch.job import Order
from lab_services.services.jobs import Ended, JobRunner


class Plan(TypedDict):
    """A run each `every` seconds, so many times; with `one_at_a_time` a firing that finds the run
    before it still at work is left out."""

    order: Order
    every: Annotated[float, Field(gt=0, le=86_400, examples=[60.0])]
    firings: Annotated[int, Field(ge=1, le=1000, examples=[3])]
    one_at_a_time: bool


class Nightly(JobRunner):
    """The service, which counts the firings of its schedule."""

    def __init__(self) -> None:
        super().__init__("batch scheduler", self._made, imports=job.__name__)

    def _made(self) -> BackgroundScheduler:
        with tables.connect() as database:
            tables.create(database)
        plan = BackgroundScheduler(timezone="UTC")
        self.current, self.over = "", 0
        ends = EVENT_JOB_EXECUTED | EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES
        plan.add_listener(self._count, ends)
        return plan

    def _count(self, event: JobEvent) -> None:
        self.over += event.job_id == self.current


app = Nightly()


def run(order: Order) -> Ended:
    """One run of the job: exit code 0 is well, 1 failed, 3 found another at work."""
    return app.run(job.main, order)


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
