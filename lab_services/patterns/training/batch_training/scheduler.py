"""The scheduler: fires the job at the end of each month, and keeps its own plan in the database.

A month of this calendar lasts a second or so. The plan is APScheduler's job store, so a scheduler
that is killed goes on with it when it is started again. Each run is a process of its own.
"""

import asyncio
import multiprocessing
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore  # type: ignore[import-untyped]
from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]
from fastapi import HTTPException
from fastapi.responses import FileResponse
from prometheus_client import Gauge
from pydantic import Field
from typing_extensions import TypedDict

from lab_services.patterns.training.batch_training import process, tables
from lab_services.services import settings
from lab_services.services.service import Service

HERE = "lab_services.patterns.training.batch_training"
Month = Annotated[int, Field(ge=1, le=12, examples=[5])]

# Jobs are forked from a process that has imported everything, so a run starts in milliseconds. The
# system libraries of macOS do not survive a fork: there each run takes seconds to import.
_METHOD = "forkserver" if sys.platform == "linux" else "spawn"
context: Any = multiprocessing.get_context(_METHOD)
context.set_forkserver_preload([f"{HERE}.warm"])


class Run(TypedDict):
    """A run to be started now, by hand."""

    month: Month
    model: Annotated[str, Field(pattern="^[a-z-]+$", examples=["late"])]
    job: Literal["job", "naive"]
    die_after: Annotated[str, Field(pattern="^[a-z]*$", examples=[""])]


class Plan(TypedDict):
    """A calendar: from its beginning on, the end of a month each `month_seconds`."""

    model: Annotated[str, Field(pattern="^[a-z-]+$", examples=["late"])]
    first: Month
    last: Month
    month_seconds: Annotated[float, Field(gt=0, le=3600, examples=[1.0])]
    die_after: Annotated[str, Field(pattern="^[a-z]*$", examples=[""])]


class Ended(TypedDict):
    """How a run ended: 0 is well, 3 is a refused month, -9 is a kill."""

    exit_code: int
    seconds: float


def run(month: int, model: str, job: str = "job", die_after: str = "") -> Ended:
    """Run the job in a process of its own, wait for its end and write down its exit code."""
    began = time.perf_counter()
    started = context.Process(target=process.run, args=(job, month, model, die_after))
    started.start()
    started.join()
    code = started.exitcode or 0
    with tables.connect() as database:
        database.execute(
            "INSERT INTO firings (model, month, exit_code) VALUES (%s, %s, %s)",
            [model, month, code],
        )
    if code == 0:
        app.last_success.set_to_current_time()
    return {"exit_code": code, "seconds": time.perf_counter() - began}


def month_end(plan: Plan, began: float) -> None:
    """What is fired: the runs of all months that have ended and have no success yet.

    So a month that was missed, refused or killed is made up for. Where there is none, the last
    month is run once more, which finds its version and ends well.
    """
    passed = round((time.time() - began) / plan["month_seconds"])
    last = min(plan["first"] + passed - 1, plan["last"])
    with tables.connect() as database:
        done = tables.succeeded(database, plan["model"])
    ended = range(plan["first"], last + 1)
    for month in [month for month in ended if month not in done] or ended[-1:]:
        run(month, plan["model"], die_after=plan["die_after"])


class Scheduler(Service):
    """The service, with APScheduler inside."""

    def __init__(self) -> None:
        super().__init__("batch-training scheduler", self._running)
        self.last_success = Gauge(
            "job_last_success_timestamp_seconds",
            "When the job last ended well",
            registry=self.registry,
        )

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        url = settings.text("DATABASE_URL")
        with tables.connect(url) as database:
            tables.create(database)
        store = SQLAlchemyJobStore(url.replace("postgresql://", "postgresql+psycopg://", 1))
        self.plan = BackgroundScheduler(
            jobstores={"default": store},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        await asyncio.to_thread(context.Process(target=process.warm).start)
        self.plan.start()
        yield
        self.plan.shutdown(wait=False)


app = Scheduler()


@app.post("/runs")
async def run_now(order: Run) -> Ended:
    """Run the job now; answers when it has ended."""
    return await asyncio.to_thread(
        run, order["month"], order["model"], order["job"], order["die_after"]
    )


@app.post("/calendar")
async def start_calendar(plan: Plan) -> dict[str, float]:
    """Begin a calendar now, in the place of any other; when it began (Unix seconds)."""
    began = time.time()
    app.plan.add_job(
        month_end,
        "interval",
        seconds=plan["month_seconds"],
        start_date=datetime.fromtimestamp(began + plan["month_seconds"]).astimezone(),
        args=[plan, began],
        id="calendar",
        replace_existing=True,
    )
    return {"began": began}


@app.post("/calendar/pause")
async def pause() -> dict[str, str]:
    """Fire no more. Everything else stays as it is, and looks well."""
    app.plan.pause_job("calendar")
    return {"calendar": "paused"}


@app.get("/models/{model}/{name}")
async def in_place(model: str, name: str) -> FileResponse:
    """A file of a model that is overwritten in place."""
    return _file(model, name)


@app.get("/models/{model}/{folder}/{name}")
async def written(model: str, folder: str, name: str) -> FileResponse:
    """A file of a month's model."""
    return _file(model, folder, name)


def _file(*parts: str) -> FileResponse:
    root = Path(settings.text("MODELS_DIR")).resolve()
    path = root.joinpath(*parts).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise HTTPException(404, "There is no such file.")
    return FileResponse(path)
