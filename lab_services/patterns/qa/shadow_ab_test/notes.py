"""What the predictors note of their answers, and how two notes of one request are joined.

Notes are written in the background: no request waits for the database, and none fails with it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from lab_services.services.service import Service
from lab_services.services.write_behind import WriteBehind

EVERY_SECONDS = 0.1
PATIENCE_SECONDS = 2  # where the database does not answer: until the next try
MOST = 20_000  # notes that wait for the database; later ones are lost, and counted

# Whoever comes first makes the tables; two at the same moment would both fail.
SCHEMA = """
SELECT pg_advisory_xact_lock(16);
CREATE TABLE IF NOT EXISTS answers (request text, model text, at timestamptz DEFAULT now(),
    probability float8, late bool, seconds float8, PRIMARY KEY (request, model));
CREATE TABLE IF NOT EXISTS notices (request text, model text);
"""
ANSWER = """INSERT INTO answers (request, model, probability, late, seconds)
    VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"""
NOTICE = "INSERT INTO notices (request, model) VALUES (%s, %s)"

# Production's requests, every one of them, and the candidate's answers where there are any.
JOINED = """
SELECT p.request, p.at, p.probability AS production, c.probability AS candidate,
    p.late AS production_late, c.late AS candidate_late,
    p.seconds AS production_seconds, c.seconds AS candidate_seconds
FROM answers p
LEFT JOIN answers c ON c.request = p.request AND c.model = 'candidate'
WHERE p.model = 'production' AND starts_with(p.request, %s)
ORDER BY p.at, p.request
"""


class Note(NamedTuple):
    """One answer; `seconds` is how long the model's service worked on it."""

    request: str
    model: str
    probability: float
    late: bool
    seconds: float


class Notes:
    """Notes on their way to the database at `url`, and the notices that travellers are sent."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: AsyncConnectionPool[AsyncConnection[Any]]
        self.waiting: WriteBehind[tuple[Note, bool]] = WriteBehind(
            self.write, away=psycopg.OperationalError, every=EVERY_SECONDS, most=MOST
        )

    def add(self, note: Note, *, notice: bool) -> None:
        """Keep a note; with a `notice`, the traveller is told as well. Never fails or waits."""
        self.waiting.add((note, notice))

    @asynccontextmanager
    async def writing(self, app: Service) -> AsyncIterator[None]:
        """Write what waits while the service runs, whether the database is there or not."""
        self._pool = AsyncConnectionPool(
            self._url, min_size=1, max_size=1, open=False, timeout=PATIENCE_SECONDS,
            configure=create, kwargs={"autocommit": True},
        )  # fmt: skip
        async with self._pool, self.waiting.writing(app):
            yield

    async def write(self, batch: list[tuple[Note, bool]]) -> None:
        """Write all of them, or nothing. Raises what the database raises."""
        told = [(note.request, note.model) for note, notice in batch if notice]
        async with (
            self._pool.connection() as database,
            database.transaction(),
            database.cursor() as cursor,
        ):
            await cursor.executemany(ANSWER, [note for note, _ in batch])
            if told:
                await cursor.executemany(NOTICE, told)


async def create(database: AsyncConnection[Any]) -> None:
    """Make the tables where they are not there."""
    await database.execute(SCHEMA)
