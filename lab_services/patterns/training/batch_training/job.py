"""The job: one month in, at most one registered version out, however often it is run.

It may be killed between any two lines. What is there already is found and not made again; what was
half made is nowhere that anybody looks. Exit codes: 0 the month has its version, 3 the month was
refused, 1 anything else.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from psycopg import Connection

from lab_services.patterns.training.batch_training import checks, tables, training
from lab_services.patterns.training.batch_training.registry import (
    CANDIDATE,
    CHAMPION,
    Registry,
    client,
)
from lab_services.services import settings

STEPS = ("checked", "trained", "written", "registered", "promoted")
# A candidate may lose against the champion by this much: a week of flights is one draw.
TOLERANCE = 0.02
REFUSED = 3


def main(month: int, model: str = "late", die_after: str = "") -> None:
    """Run the job and write down how it ended; leaves by its exit code."""
    with tables.connect() as database:
        run = tables.begin(database, model, month)
        try:
            version = retrain(database, model, month, die_after)
        except checks.MonthRefused as error:
            tables.end(database, run, "refused", str(error))
            sys.exit(REFUSED)
        except Exception as error:
            tables.end(database, run, "failed", f"{type(error).__name__}: {error}")
            raise
        tables.end(database, run, "succeeded", version=int(version.version))


def retrain(database: Connection[Any], model: str, month: int, die_after: str = "") -> ModelVersion:
    """The month's version, made by this run or by one before it."""
    with tables.locked(database, f"{model} {month}"):
        registry = Registry(model, client())
        version = registry.version_of(month) or build(database, registry, month, die_after)
        promote(registry, version)
        _passed("promoted", die_after)
        return version


def build(
    database: Connection[Any], registry: Registry, month: int, die_after: str
) -> ModelVersion:
    """Gather, check, train, write, register."""
    gather(database, month)
    _passed("checked", die_after)

    began = time.perf_counter()
    table = history(database, month)
    known, unseen = training.split(table, month)
    trained = training.fit(known)
    seconds = time.perf_counter() - began
    _passed("trained", die_after)

    champion = registry.champion()
    metrics = {"seconds": seconds, "rows": len(known), "loss": training.loss(trained, unseen)}
    if champion is not None:
        serving = training.opened(Path(str(champion.source)))
        metrics["champion_loss"] = training.loss(serving, unseen)
    run = registry.track(month, {"recipe": training.RECIPE, "month": month}, metrics)
    folder = Path(settings.text("MODELS_DIR")) / registry.model / f"2013-{month:02}"
    path = training.write(folder, trained, training.card(trained, month, len(known)))
    _passed("written", die_after)

    version = registry.register(path, run, {"month": month, **metrics})
    registry.close(run)
    _passed("registered", die_after)
    return version


def gather(database: Connection[Any], month: int) -> None:
    """Read the month and check it. Raises MonthRefused; the verdict is kept either way."""
    table = training.read_csv(tables.read(database, [month]))
    late = float(table["late"].mean()) if table["late"].dtype == bool else 0.0
    try:
        checks.check(table, month, tables.accepted(database, before=month))
    except checks.MonthRefused as error:
        tables.judge(database, month, len(table), late, str(error))
        raise
    tables.judge(database, month, len(table), late, "")


def history(database: Connection[Any], month: int) -> Any:
    """Every n-th flight of all accepted months up to this one, so that there are not too many."""
    months = tables.accepted(database, before=month + 1)
    every = -(-sum(rows for _, rows, _ in months) // training.ROWS)
    return training.read_csv(tables.read(database, [month for month, *_ in months], every))


def promote(registry: Registry, version: ModelVersion) -> None:
    """Name the version: a candidate always, the champion where it is newer and not worse."""
    champion = registry.champion()
    if champion is not None and int(champion.tags["month"]) >= int(version.tags["month"]):
        return
    registry.name(version, CANDIDATE)
    loss = float(version.tags["loss"])
    if loss <= float(version.tags.get("champion_loss", loss)) * (1 + TOLERANCE):
        registry.name(version, CHAMPION)


def _passed(step: str, die_after: str) -> None:
    """For the lab: be killed at this very line, by the signal that nothing can catch."""
    if step == die_after:
        os.kill(os.getpid(), signal.SIGKILL)
