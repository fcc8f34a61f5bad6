"""What the job reads and writes: flights in, predictions out, and a record of what was done."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from lab_services.models.features import FEATURES, SCHEMA
from lab_services.services import settings

_TYPES = {"string": "text", "integer": "int", "number": "float"}
_FEATURES = ", ".join(f"{name} {_TYPES[SCHEMA['properties'][name]['type']]}" for name in FEATURES)
_PREDICTION = "flight int {key}, probability float, late boolean, night int, run int"
# Each night replaces each row: with half of a page free the new one fits beside the old one.
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS flights (id int PRIMARY KEY, {_FEATURES});
CREATE TABLE IF NOT EXISTS predictions ({_PREDICTION.format(key="PRIMARY KEY")})
    WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS appended ({_PREDICTION.format(key="")});
CREATE TABLE IF NOT EXISTS runs (
    id serial PRIMARY KEY, night int, started_by text, status text, reason text,
    began timestamptz, ended timestamptz, cpu_seconds float);
CREATE TABLE IF NOT EXISTS parts (
    run int, night int, first int, last int, flights int, seconds float,
    at timestamptz DEFAULT clock_timestamp());
"""

_ROWS = """SELECT flight, probability, late, %(night)s, %(run)s
    FROM unnest(%(flights)s::int[], %(probabilities)s::float[], %(lates)s::boolean[])
    AS answers (flight, probability, late)"""

WRITE = {
    "append": f"INSERT INTO appended {_ROWS}",
    # However often it is run, a flight has one prediction, and never an older one than before.
    "upsert": f"""INSERT INTO predictions {_ROWS}
        ON CONFLICT (flight) DO UPDATE SET probability = excluded.probability,
            late = excluded.late, night = excluded.night, run = excluded.run
        WHERE predictions.night <= excluded.night""",
}

Database = psycopg.Connection[Any]


def connect(url: str | None = None) -> Database:
    """A connection that commits each statement; `url` is DATABASE_URL by default."""
    return psycopg.connect(url or settings.text("DATABASE_URL"), autocommit=True)


def create(database: Database) -> None:
    """Make the tables that are not there yet."""
    database.execute(_SCHEMA)


def alone(database: Database) -> bool:
    """Take the job's lock, or say that another run has it.

    PostgreSQL gives it back when the connection ends, so a killed run blocks nobody.
    """
    (got,) = database.execute("SELECT pg_try_advisory_lock(hashtext('batch'))").fetchone() or (0,)
    return bool(got)


def begin(
    database: Database, night: int | None, started_by: str, began: float, status: str = "running"
) -> tuple[int, int]:
    """Write down that a run has begun (Unix seconds); its number and its night.

    Without a `night` it is the one after the last.
    """
    row = database.execute(
        """INSERT INTO runs (night, started_by, status, began)
        SELECT coalesce(%s, max(night) + 1, 1), %s, %s, to_timestamp(%s) FROM runs
        RETURNING id, night""",
        [night, started_by, status, began],
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def end(database: Database, run: int, status: str, cpu_seconds: float, reason: str = "") -> None:
    """Write down how a run ended, succeeded or failed, and what it took of the processor."""
    database.execute(
        "UPDATE runs SET status = %s, reason = %s, cpu_seconds = %s, ended = clock_timestamp()"
        " WHERE id = %s",
        [status, reason, cpu_seconds, run],
    )


def to_do(database: Database, night: int, everything: bool) -> list[int]:
    """The flights that have no prediction of this night yet, or all of them.

    It is the results that are asked, not a record of runs: they cannot disagree with themselves.
    """
    done = "SELECT FROM predictions WHERE flight = id AND night >= %s"
    query = f"SELECT id FROM flights WHERE %s OR NOT EXISTS ({done}) ORDER BY id"
    return [flight for (flight,) in database.execute(query, [everything, night])]


def read(database: Database, flights: Sequence[int]) -> list[dict[str, Any]]:
    """What the model is told of these flights, in the order of their numbers."""
    query = f"SELECT {', '.join(FEATURES)} FROM flights WHERE id = ANY(%s) ORDER BY id"
    with database.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, [list(flights)]).fetchall()


def write(database: Database, how: str, night: int, run: int, **answers: Sequence[Any]) -> None:
    """Write down the answers of a part: flights, probabilities, lates."""
    database.execute(WRITE[how], {"night": night, "run": run, **answers})


def done(database: Database, run: int, night: int, flights: Sequence[int], seconds: float) -> None:
    """Write down that a part is done, for the lab's charts; the job itself never asks."""
    database.execute(
        "INSERT INTO parts (run, night, first, last, flights, seconds)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [run, night, flights[0], flights[-1], len(flights), seconds],
    )
