"""The way out of offline only: a gate that shows a candidate to nobody, to some, or to all."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import aiohttp
import psycopg
from fastapi import Header, Request, Response
from psycopg_pool import AsyncConnectionPool
from pydantic import Field
from typing_extensions import TypedDict

from lab_services.services import settings
from lab_services.services.bucketing import bucket
from lab_services.services.service import Service
from lab_services.services.write_behind import WriteBehind

PREDICT_URL = settings.text("PREDICT_URL")
DATABASE_URL = settings.text("DATABASE_URL")
TODAY, CANDIDATE = "today", "candidate"
TIMEOUT = aiohttp.ClientTimeout(total=5)
COLUMNS = ("test", "request", "model", "shadow", "probability", "warned", "seconds")
TABLES = """
CREATE TABLE IF NOT EXISTS answers (test text, request text, model text,
    shadow boolean, probability float, warned boolean, seconds float);
CREATE TABLE IF NOT EXISTS travellers (request text PRIMARY KEY, stayed boolean, late boolean);
"""

Name = Annotated[str, Header(min_length=1, max_length=64)]
# What COLUMNS name; no probability and no warning where there was no answer.
Row = tuple[str, str, str, bool, float | None, bool | None, float]


class Release(TypedDict):
    """Who is given the candidate; a share of 0 without a shadow takes it out."""

    test: Annotated[str, Field(min_length=1, max_length=48, examples=["leak"])]
    share: Annotated[float, Field(ge=0, le=1, examples=[0.5])]
    shadow: Annotated[bool, Field(description="Ask it also for travellers who see today's model")]


@dataclass
class State:
    """What this gate does now."""

    release: Release
    # Held here, because a task that nobody holds may be collected before its end.
    shadows: set[asyncio.Task[Response]] = field(default_factory=set)
    session: aiohttp.ClientSession | None = None
    database: AsyncConnectionPool[Any] | None = None


state = State({"test": "none", "share": 0.0, "shadow": False})


@asynccontextmanager
async def connected(app: Service) -> AsyncIterator[None]:
    connections = aiohttp.TCPConnector(limit=0)  # a slow candidate must not take those of today
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT, connector=connections) as state.session,
        AsyncConnectionPool(
            DATABASE_URL, min_size=1, max_size=1, open=False, timeout=5
        ) as state.database,
    ):
        async with state.database.connection() as database:
            await database.execute(TABLES)
        async with rows.writing(app):
            yield
            await asyncio.gather(*state.shadows, return_exceptions=True)


async def write(rows: list[Row]) -> None:
    """Write rows in one statement: each by itself would take longer than its answer."""
    assert state.database is not None
    async with (
        state.database.connection() as database,
        database.cursor() as cursor,
        cursor.copy(f"COPY answers ({', '.join(COLUMNS)}) FROM STDIN") as copy,
    ):
        for row in rows:
            await copy.write_row(row)


rows = WriteBehind(write, away=psycopg.OperationalError)


app = Service("gate", lifespan=connected)


@app.post("/release")
async def change(release: Release) -> Release:
    """Release the candidate to a share of the travellers, go back, or only shadow it."""
    state.release = release
    return release


@app.post("/predict")
async def predict(request: Request, x_user: Name, x_request_id: Name) -> Response:
    """The answer of the model that this traveller is given; nobody waits for a shadow."""
    release = state.release
    test = release["test"]
    body = await request.body()
    model = CANDIDATE if bucket(x_user, salt=test) < release["share"] else TODAY
    if release["shadow"] and model == TODAY:
        task = asyncio.create_task(ask(CANDIDATE, body, test, x_request_id, shadow=True))
        state.shadows.add(task)
        task.add_done_callback(state.shadows.discard)
    return await ask(model, body, test, x_request_id, shadow=False)


async def ask(model: str, body: bytes, test: str, request: str, *, shadow: bool) -> Response:
    """Ask a model. What it answered is a row, and so is that it did not."""
    assert state.session is not None
    began = time.perf_counter()
    headers = {"content-type": "application/json", "x-model": model}
    probability, warned = None, None
    try:
        async with state.session.post(PREDICT_URL, data=body, headers=headers) as answer:
            status, content = answer.status, await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        status, content = 502, b'{"detail": "no answer: %s"}' % type(error).__name__.encode()
    if status == 200:
        said = json.loads(content)
        probability, warned = said["probability"], said["late"]
    seconds = time.perf_counter() - began
    rows.add((test, request, model, shadow, probability, warned, seconds))
    return Response(content, status, media_type="application/json")
