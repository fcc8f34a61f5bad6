"""Data cache: a request brings a number, and the model's inputs come from the cache if they can."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import thread_time
from typing import Annotated, Any, Literal

import psycopg
from fastapi import HTTPException, Response
from psycopg_pool import AsyncConnectionPool
from pydantic import Field
from redis.asyncio import Redis
from redis.exceptions import RedisError
from typing_extensions import TypedDict

from lab_services.patterns.serving.data_cache import preparing, warehouse
from lab_services.services import settings
from lab_services.services.predictor import Forecast, Model
from lab_services.services.service import Service

LATE_ABOVE = settings.late_above()
# Seconds to wait for the cache: beyond that the warehouse is asked without it.
PATIENCE = settings.number("PATIENCE", 0.2, low=0.001, high=60)
# Seconds for a read, with the wait for a connection.
DEADLINE = settings.number("DEADLINE", 2, low=0.01, high=300)
_WAITING = 1000  # requests; who comes when so many wait for a connection is refused
# Entries of this policy are deleted when the warehouse tells that their row has changed.
TOLD = "told"
_AGAIN_SECONDS = 0.2

log = logging.getLogger(__name__)


class Question(TypedDict):
    """Which flight, and what a service would have in its settings: here they can take turns."""

    flight: Annotated[int, Field(ge=0, examples=[17])]
    form: Annotated[
        Literal["nothing", "rows", "packed", "features", "tensor"],
        Field(description="What is cached"),
    ]
    policy: Annotated[
        str, Field(pattern="^[a-z0-9.-]{1,20}$", description="Entries of two never meet")
    ]
    expires: Annotated[float, Field(ge=0.001, le=3600, description="seconds")]
    together: Annotated[bool, Field(description="Who misses while another reads waits for him")]


# --- the pattern ----------------------------------------------------------------------------------


async def entry_of(asked: Question) -> tuple[bytes, str]:
    """What is kept of this flight, and where it came from; read from the warehouse on a miss."""
    key = preparing.key_of(asked["form"], asked["policy"], asked["flight"])
    try:
        async with asyncio.timeout(PATIENCE):
            found: Any = await cache.get(key)
    except (TimeoutError, RedisError):  # the cache may hang or be gone: it is only a short cut
        entry = preparing.encode(asked["form"], await dossier_of(asked["flight"]), model.prepare)
        return entry, "passed"
    if found is not None:
        return found, "hit"
    if not asked["together"]:
        return await fill(key, asked), "read"
    if key in under_way:
        return await asyncio.shield(under_way[key]), "waited"
    under_way[key] = reading = asyncio.create_task(fill(key, asked))
    reading.add_done_callback(lambda _: under_way.pop(key))
    return await asyncio.shield(reading), "read"


async def fill(key: str, asked: Question) -> bytes:
    """Read the dossier, bring it into the form that is kept, keep it."""
    entry = preparing.encode(asked["form"], await dossier_of(asked["flight"]), model.prepare)
    with contextlib.suppress(TimeoutError, RedisError):  # then the next one reads it again
        async with asyncio.timeout(PATIENCE):
            await cache.set(key, entry, px=round(1000 * asked["expires"]))
    return entry


async def forget(flight: int) -> None:
    """The row has changed: what was made from it goes."""
    await cache.delete(*(preparing.key_of(form, TOLD, flight) for form in preparing.ENCODE))


async def dossier_of(flight: int) -> preparing.Dossier:
    """From the warehouse; whoever finds all connections in use waits. Raises HTTPException."""
    try:
        async with asyncio.timeout(DEADLINE), pool.connection() as database:
            dossier = await warehouse.read(database, flight)
    except (TimeoutError, psycopg.OperationalError) as error:  # too many wait: that is one, too
        raise HTTPException(503, "The warehouse does not answer in time.") from error
    if dossier is None:
        raise HTTPException(404, f"There is no flight {flight}.")
    return dossier


# --- around it ------------------------------------------------------------------------------------


async def listen() -> None:
    """Forget what the warehouse tells of, for as long as the service runs.

    What is told while the connection is down is never heard of, so then all goes that relied on it.
    """
    while True:
        try:
            # A connection that is half gone is noticed after some seconds without an answer.
            async with await psycopg.AsyncConnection.connect(
                url, autocommit=True, keepalives_idle=5, keepalives_interval=1, keepalives_count=3
            ) as database:
                await database.execute(f"LISTEN {warehouse.CHANNEL}")
                async for key in cache.scan_iter(f"*:{TOLD}:*"):
                    await cache.delete(key)
                async for note in database.notifies():
                    await forget(int(note.payload))
        except (psycopg.OperationalError, RedisError) as error:
            log.error("nothing is heard of changes", extra={"error": repr(error)})
        await asyncio.sleep(_AGAIN_SECONDS)


@asynccontextmanager
async def resources(app: Service) -> AsyncIterator[None]:
    """The model, the cache, the warehouse, and an ear for what it tells."""
    global cache, pool, url
    model.load()
    cache = Redis.from_url(settings.text("CACHE_URL"))
    url = settings.text("DATABASE_URL")
    connections = int(settings.number("CONNECTIONS", 2, low=1, high=50))
    pool = AsyncConnectionPool(
        url, min_size=connections, max_size=connections, open=False,
        timeout=DEADLINE, max_waiting=_WAITING,
        kwargs={"autocommit": True},
    )  # fmt: skip
    async with cache, pool:
        app.background(listen())
        yield


model = Model()
app = Service("data-cache", lifespan=resources)
cache: Redis
pool: AsyncConnectionPool[Any]
url: str
under_way: dict[str, asyncio.Task[bytes]] = {}


@app.post("/predict")
async def predict(asked: Question, response: Response) -> Forecast:
    """Will this flight arrive more than 15 minutes late?

    The header x-answered-by tells where the input came from, its version, and the processor time
    from there to the rows that the model reads.
    """
    try:
        if asked["form"] == "nothing":
            dossier, source = await dossier_of(asked["flight"]), "read"
            began = thread_time()
            version = dossier["version"]
            rows = preparing.of_model(preparing.row_of(dossier, model.prepare))
        else:
            entry, source = await entry_of(asked)
            began = thread_time()
            version, rows = preparing.decode(asked["form"], entry, model.prepare)
    except preparing.NoWeather as error:
        raise HTTPException(503, str(error)) from error
    spent = thread_time() - began
    probability = round(float(model.predict(rows).mean()), 6)
    response.headers["x-answered-by"] = f"{source} {version} {spent:.7f}"
    return {"probability": probability, "late": probability > LATE_ABOVE}
