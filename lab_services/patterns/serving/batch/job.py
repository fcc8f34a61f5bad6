"""The job: predict for every flight in the table, part by part, and write the answers down.

    python -m lab_services.patterns.serving.batch.job

Each part is one transaction: read, predict, write. Exit codes: 0 all is written, 3 another run was
at work, 1 anything else.
"""

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from lab_services.patterns.serving.batch import tables
from lab_services.services import settings
from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Flight, Model

SKIPPED = 3
# The system libraries of macOS do not survive a fork.
processes: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
_flights = TypeAdapter(list[Flight])
model = Model()
forecasts = Forecasts(model)
database: tables.Database  # a worker's own


class Order(TypedDict):
    """How to run the job. Without a night it is the one after the last."""

    night: int | None
    chunk: Annotated[int, Field(ge=1, examples=[500])]
    workers: Annotated[int, Field(ge=1, le=16, examples=[2])]
    rerun: Literal["missing", "everything"]
    write: Literal["upsert", "append"]
    lock: bool
    started_by: Literal["schedule", "hand"]


def main(order: Order) -> None:
    """Run the job and write down how it ended; leaves by its exit code."""
    began = time.time()
    with ProcessPoolExecutor(order["workers"], processes, load) as workers:
        # Forked by their first task, and so before there is a connection that they would share.
        workers.submit(time.time)
        with tables.connect() as database:
            if order["lock"] and not tables.alone(database):
                tables.begin(database, order["night"], order["started_by"], began, "skipped")
                sys.exit(SKIPPED)
            run, night = tables.begin(database, order["night"], order["started_by"], began)
            try:
                flights = tables.to_do(database, night, order["rerun"] == "everything")
                parts = [
                    flights[at : at + order["chunk"]]
                    for at in range(0, len(flights), order["chunk"])
                ]
                for _ in workers.map(partial(predict, run, night, order["write"]), parts):
                    pass  # the first part that failed raises here
            except Exception as error:
                workers.shutdown(cancel_futures=True)
                tables.end(database, run, "failed", _cpu_seconds(), str(error))
                raise
            workers.shutdown()
            tables.end(database, run, "succeeded", _cpu_seconds())


def load() -> None:
    """What a worker does once: load the model, open a connection of its own."""
    global database
    model.load()
    database = tables.connect()


def predict(run: int, night: int, how: str, flights: list[int]) -> None:
    """One part, whole or not at all. Raises ValueError for a flight that is no flight."""
    began = time.perf_counter()
    with database.transaction():
        rows = tables.read(database, flights)
        try:
            answers = forecasts(_flights.validate_python(rows))
        except ValidationError as error:
            (place, field), said = error.errors()[0]["loc"][:2], error.errors()[0]["msg"]
            raise ValueError(f"Flight {flights[int(place)]}, {field}: {said}") from None
        probabilities = [answer["probability"] for answer in answers]
        lates = [answer["late"] for answer in answers]
        tables.write(
            database, how, night, run, flights=flights, probabilities=probabilities, lates=lates
        )
        tables.done(database, run, night, flights, time.perf_counter() - began)


def _cpu_seconds() -> float:
    """Of this process and of the workers that have ended."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _stated() -> Order:
    return {
        "night": None,
        "chunk": int(settings.number("CHUNK", 500, low=1, high=1e6)),
        "workers": int(settings.number("WORKERS", 2, low=1, high=16)),
        "rerun": "missing",
        "write": "upsert",
        "lock": True,
        "started_by": "hand",
    }


if __name__ == "__main__":
    main(_stated())
