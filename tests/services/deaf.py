"""A service with a part that ignores its cancellation while it has the turn to write its rows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from lab_services.services import service, write_behind
from lab_services.services.service import Service
from lab_services.services.write_behind import WriteBehind

# A test does not wait as long as a reader's service does.
service.END_SECONDS = write_behind.LAST_SECONDS = 0.3


async def deaf(rows: list[int]) -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


writing = WriteBehind(deaf, away=ConnectionError, every=0.01)


@asynccontextmanager
async def lifespan(app: Service) -> AsyncIterator[None]:
    async with writing.writing(app):
        writing.add(1)
        await asyncio.sleep(0.1)  # until it is being written
        yield


app = Service("deaf", lifespan=lifespan)
