"""The scheduler: fires the job at the end of each month, and keeps its own plan in the database.

A month of this calendar lasts a second or so. The plan is APScheduler's job store, so a scheduler
that is killed goes on with it when it is started again. Each run is a process of its own.
"""

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from fastapi import HTTPException
from fastapi.responses import FileResponse
from pydantic import Field
from typing_extensions import TypedDict

from lab_services.patterns.training.batch_training import process, tables
from lab_services.services import settings
from lab_services.services.jobs import Ended, JobRunner

HERE = "lab_services.patterns.training.batch_training"
Month = Annotated[int, Field(ge=1, le=12, examples=[5])]


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


def planned() -> BackgroundScheduler:
    """A plan that is kept in the database, and fires once where several firings were missed."""
    url = settings.text("DATABASE_URL")
    with tables.connect(url) as database:
        tables.create(database)
    store = SQLAlchemyJobStore(url.replace("postgresql://", "postgresql+psycopg://", 1))
    return BackgroundScheduler(
        jobstores={"default": store},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone="UTC",
    )


app = JobRunner("batch-training scheduler", planned, imports=f"{HERE}.warm", first=process.warm)


def run(month: int, model: str, job: str = "job", die_after: str = "") -> Ended:
    """One run of the job; its exit code is written down: 3 is a refused month, -9 a kill."""
    ended = app.run(process.run, job, month, model, die_after)
    with tables.connect() as database:
        database.execute(
            "INSERT INTO firings (model, month, exit_code) VALUES (%s, %s, %s)",
            [model, month, ended["exit_code"]],
        )
    return ended


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
