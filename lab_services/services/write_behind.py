"""Write down later what was answered now: no request waits for a log, and none fails with it.

    rows = WriteBehind(write, away=psycopg.OperationalError)

    @asynccontextmanager
    async def lifespan(app: Service) -> AsyncIterator[None]:
        async with rows.writing(app):
            yield

A row is written once, unless the service is stopped or the log goes away just while it is taken:
then it may be written twice. What was not yet written is lost with a process that is killed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from lab_services.services.service import Service

EVERY_SECONDS = 0.1
# For the last rows, when the service stops. Whoever stops it waits longer.
LAST_SECONDS = 2.0
MOST = 100_000

Row = TypeVar("Row")

log = logging.getLogger(__name__)


class WriteBehind(Generic[Row]):
    """Rows on their way to a log.

    `write` takes a list of them, oldest first: all or none. It is called every `every` seconds
    where rows wait. Where it raises one of `away` they are kept, and the log says so; at most
    `most` rows wait, and those that find no room are `lost`, and counted. Anything else that it
    raises ends the writing, as a background task of the service: /ready says so.
    """

    def __init__(
        self,
        write: Callable[[list[Row]], Awaitable[None]],
        *,
        away: type[Exception] | tuple[type[Exception], ...],
        every: float = EVERY_SECONDS,
        most: int = MOST,
    ) -> None:
        self._write, self._away, self._every, self._most = write, away, every, most
        self._waiting: deque[Row] = deque()
        self._turn = asyncio.Lock()
        self.lost = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def add(self, row: Row) -> None:
        """Keep a row for the next time. Never fails or waits."""
        if len(self._waiting) < self._most:
            self._waiting.append(row)
        else:
            self.lost += 1

    @asynccontextmanager
    async def writing(self, app: Service) -> AsyncIterator[None]:
        """Write while the service runs, and once more when it stops, for at most LAST_SECONDS."""
        app.background(self._keep_writing())
        yield
        if not await self._last_flush():
            log.error("rows are lost with the service", extra={"rows": len(self)})

    async def _last_flush(self) -> bool:
        """Whether nothing is left in time."""
        # The writing may not have ended: then its turn is never over. And what `write` does may not
        # take a cancellation, for which asyncio.wait_for would wait.
        last = asyncio.create_task(self.flush(), name="the last rows")
        await asyncio.wait([last], timeout=LAST_SECONDS)
        if not last.done():
            last.cancel()
            return False
        return last.result()

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self.flush()

    async def flush(self) -> bool:
        """Write what waits; False where the log is away, and nothing was taken."""
        async with self._turn:  # nobody else writes them, or takes them away
            rows = list(self._waiting)
            if not rows:
                return True
            try:
                await self._write(rows)
            except self._away as error:
                told = {"error": repr(error), "waiting": len(self), "lost": self.lost}
                log.error("the log does not answer", extra=told)
                return False
            for _ in rows:  # these are still the first ones: rows are added behind them
                self._waiting.popleft()
            return True
