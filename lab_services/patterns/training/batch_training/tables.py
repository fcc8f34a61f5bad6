"""What the job and the scheduler write down, and the lock that keeps two runs of a month apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from lab_services.models.features import FEATURES
from lab_services.services import settings

_COLUMNS = ", ".join(f"{name} text" for name in (*FEATURES, "late"))
# Deliveries are kept as they came, all text: what they mean is for the job to find out.
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS deliveries (month int, place int, {_COLUMNS});
CREATE INDEX IF NOT EXISTS deliveries_by_month ON deliveries (month);
CREATE TABLE IF NOT EXISTS verdicts (month int PRIMARY KEY, rows int, late float, refused text);
CREATE TABLE IF NOT EXISTS job_runs (
    id bigserial PRIMARY KEY, model text, month int, status text, reason text, version int,
    began timestamptz DEFAULT clock_timestamp(), ended timestamptz, seconds float);
CREATE TABLE IF NOT EXISTS firings (
    id bigserial PRIMARY KEY, model text, month int, exit_code int,
    at timestamptz DEFAULT clock_timestamp());
"""


def connect(url: str | None = None) -> psycopg.Connection[Any]:
    """A connection that commits each statement; `url` is DATABASE_URL by default."""
    return psycopg.connect(url or settings.text("DATABASE_URL"), autocommit=True)


def create(database: psycopg.Connection[Any]) -> None:
    """Make the tables that are not there yet; safe from several processes at once."""
    with locked(database, "schema"):
        database.execute(_SCHEMA)


@contextmanager
def locked(database: psycopg.Connection[Any], name: str) -> Iterator[None]:
    """Wait for the lock of that name, and hold it.

    PostgreSQL itself gives it back when the connection ends, so a killed run blocks nobody.
    """
    database.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
    try:
        yield
    finally:
        database.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])


def begin(database: psycopg.Connection[Any], model: str, month: int) -> int:
    """Write down that a run has begun; its number."""
    row = database.execute(
        "INSERT INTO job_runs (model, month, status) VALUES (%s, %s, 'running') RETURNING id",
        [model, month],
    ).fetchone()
    assert row is not None
    return int(row[0])


def end(
    database: psycopg.Connection[Any],
    run: int,
    status: str,
    reason: str = "",
    version: int | None = None,
) -> None:
    """Write down how a run ended: succeeded, refused or failed."""
    database.execute(
        "UPDATE job_runs SET status = %s, reason = %s, version = %s, ended = clock_timestamp(),"
        " seconds = extract(epoch FROM clock_timestamp() - began) WHERE id = %s",
        [status, reason, version, run],
    )


def succeeded(database: psycopg.Connection[Any], model: str) -> set[int]:
    """The months of which a run has ended well."""
    query = "SELECT month FROM job_runs WHERE model = %s AND status = 'succeeded'"
    return {int(month) for (month,) in database.execute(query, [model])}


def judge(
    database: psycopg.Connection[Any], month: int, rows: int, late: float, refused: str
) -> None:
    """Keep what the checks said of a month; `refused` is empty where they let it pass."""
    database.execute(
        "INSERT INTO verdicts VALUES (%s, %s, %s, %s) ON CONFLICT (month) DO UPDATE"
        " SET rows = excluded.rows, late = excluded.late, refused = excluded.refused",
        [month, rows, late, refused],
    )


def accepted(database: psycopg.Connection[Any], before: int) -> list[tuple[int, int, float]]:
    """Month, rows and share of late flights of the months that have passed their checks."""
    query = "SELECT month, rows, late FROM verdicts WHERE refused = '' AND month < %s"
    return [(int(m), int(n), float(late)) for m, n, late in database.execute(query, [before])]


def read(database: psycopg.Connection[Any], months: list[int], every: int = 1) -> bytes:
    """Deliveries as CSV, every n-th row of each month, in the order of time."""
    columns = sql.SQL(", ").join(map(sql.Identifier, (*FEATURES, "late", "month", "place")))
    query = sql.SQL(
        "COPY (SELECT {} FROM deliveries WHERE month = ANY({}) AND mod(place, {}) = 0"
        " ORDER BY month, place) TO STDOUT (FORMAT csv, HEADER)"
    ).format(columns, sql.Literal(months), sql.Literal(every))
    with database.cursor().copy(query) as copy:
        return b"".join(copy)
