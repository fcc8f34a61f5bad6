"""What the predictors note of their answers, and how two notes of one request are joined.

Notes are written in the background: no request waits for the database, and none fails with it.
"""

import asyncio
import logging
from collections import deque
from typing import Any, NamedTuple

import psycopg
from psycopg import AsyncConnection

EVERY_SECONDS = 0.1
AGAIN_SECONDS = 0.5  # where the database does not answer: until the next try
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

log = logging.getLogger(__name__)


class Note(NamedTuple):
    """One answer; `seconds` is how long the model's service worked on it."""

    request: str
    model: str
    probability: float
    late: bool
    seconds: float


class Notes:
    """Notes on their way to the database at `url`, and the notices that travellers are sent."""

    def __init__(self, url: str, most: int = MOST) -> None:
        self._url = url
        self._most = most
        self._waiting: deque[tuple[Note, bool]] = deque()
        self.lost = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def add(self, note: Note, *, notice: bool) -> None:
        """Keep a note; with a `notice`, the traveller is told as well. Never fails or waits."""
        if len(self._waiting) < self._most:
            self._waiting.append((note, notice))
        else:
            self.lost += 1

    async def keep_writing(self) -> None:
        """Write what waits, again and again, for as long as the service runs."""
        while True:
            try:
                async with await AsyncConnection.connect(self._url, autocommit=True) as database:
                    await database.execute(SCHEMA)
                    while True:
                        await asyncio.sleep(EVERY_SECONDS)
                        await self.write(database)
            except psycopg.Error as error:
                log.error("the log does not answer", extra={"error": repr(error)})
                await asyncio.sleep(AGAIN_SECONDS)

    async def write(self, database: AsyncConnection[Any]) -> None:
        """Write all that waits, or nothing. Raises what the database raises."""
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        told = [(note.request, note.model) for note, notice in batch if notice]
        try:
            async with database.transaction(), database.cursor() as cursor:
                if batch:
                    await cursor.executemany(ANSWER, [note for note, _ in batch])
                if told:
                    await cursor.executemany(NOTICE, told)
        except BaseException:
            self._waiting.extendleft(reversed(batch))
            raise
