"""The way out of offline only: a gate that shows a candidate to nobody, to some, or to all."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import aiohttp
import psycopg
from fastapi import Header, Request, Response
from pydantic import Field
from typing_extensions import TypedDict

from lab_services.services import settings
from lab_services.services.bucketing import bucket
from lab_services.services.service import Service

PREDICT_URL = settings.text("PREDICT_URL")
DATABASE_URL = settings.text("DATABASE_URL")
TODAY, CANDIDATE = "today", "candidate"
TIMEOUT = aiohttp.ClientTimeout(total=5)
# Answers are written down together this often: a row each would take longer than the answer.
WRITE_SECONDS = 0.1
COLUMNS = ("test", "request", "model", "shadow", "probability", "warned", "seconds")
TABLES = """
CREATE TABLE IF NOT EXISTS answers (test text, request text, model text,
    shadow boolean, probability float, warned boolean, seconds float);
CREATE TABLE IF NOT EXISTS travellers (request text PRIMARY KEY, stayed boolean, late boolean);
"""

Name = Annotated[str, Header(min_length=1, max_length=64)]
# What COLUMNS name; no probability and no warning where there was no answer.
Row = tuple[str, str, str, bool, float | None, bool | None, float]

log = logging.getLogger(__name__)


class Release(TypedDict):
    """Who is given the candidate; a share of 0 without a shadow takes it out."""

    test: Annotated[str, Field(min_length=1, max_length=48, examples=["leak"])]
    share: Annotated[float, Field(ge=0, le=1, examples=[0.5])]
    shadow: Annotated[bool, Field(description="Ask it also for travellers who see today's model")]


@dataclass
class State:
    """What this gate does now, and what it has not yet written down."""

    release: Release
    rows: list[Row] = field(default_factory=list)
    # Held here, because a task that nobody holds may be collected before its end.
    shadows: set[asyncio.Task[Response]] = field(default_factory=set)
    session: aiohttp.ClientSession | None = None
    database: psycopg.AsyncConnection[Any] | None = None


state = State({"test": "none", "share": 0.0, "shadow": False})


@asynccontextmanager
async def connected(_: Service) -> AsyncIterator[None]:
    connections = aiohttp.TCPConnector(limit=0)  # a slow candidate must not take those of today
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT, connector=connections) as state.session,
        await psycopg.AsyncConnection.connect(DATABASE_URL, autocommit=True) as state.database,
    ):
        await state.database.execute(TABLES)
        writing = asyncio.create_task(write_down())
        yield
        writing.cancel()
        await asyncio.gather(writing, *state.shadows, return_exceptions=True)
        await flush()


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
    state.rows.append((test, request, model, shadow, probability, warned, seconds))
    return Response(content, status, media_type="application/json")


async def write_down() -> None:
    """Again and again; what PostgreSQL does not take is kept for the next time."""
    while True:
        await asyncio.sleep(WRITE_SECONDS)
        try:
            await flush()
        except psycopg.Error as error:
            log.error("cannot write down", extra={"error": repr(error), "rows": len(state.rows)})


async def flush() -> None:
    """Write all waiting rows in one statement. Raises psycopg.Error, and keeps them then."""
    rows, state.rows = state.rows, []
    if not rows:
        return
    assert state.database is not None
    try:
        async with (
            state.database.cursor() as cursor,
            cursor.copy(f"COPY answers ({', '.join(COLUMNS)}) FROM STDIN") as copy,
        ):
            for row in rows:
                await copy.write_row(row)
    except BaseException:  # a cancelled write too: the last one comes after it
        state.rows = rows + state.rows
        raise
