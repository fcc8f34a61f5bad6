"""A branch: a model of its own for one part of what is known of a flight.

It is asked in two ways. Over HTTP, somebody waits for the answer. In the stream of flights, which
every branch reads as a group of its own, nobody does: the answer is put beside those of the others.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from lab_services.models import payloads
from lab_services.patterns.serving.microservice_horizontal.parts import (
    PARTS,
    Opinion,
    in_the_place_of,
    log_odds,
)
from lab_services.services import settings
from lab_services.services.predictor import Flight, Model
from lab_services.services.service import Service

PART = settings.choice("PART", "WEATHER", [part.upper() for part in PARTS]).lower()
# How many other flights stand for what the branch is not told, from a month that no lab judges by.
OTHERS = int(settings.number("OTHERS", 200, low=2, high=10_000))
FLIGHTS, JOINED = "flights", "joined"
KEPT_SECONDS = 600

log = logging.getLogger(__name__)
model = Model()


@asynccontextmanager
async def resources() -> AsyncIterator[None]:
    """The model, the other flights, and an ear on the stream."""
    model.load()
    app.state.others = model.prepare(payloads.flights(OTHERS, seed=7, months=(10,)))
    app.state.usual = float(log_odds(model.predict(app.state.others).mean()))
    async with Redis.from_url(settings.text("QUEUE_URL")) as redis:
        listening = asyncio.create_task(listen(redis))
        yield
        listening.cancel()


app = Service(f"branch for {PART}", resources)


@app.post("/predict")
async def predict(flight: Flight) -> Opinion:
    """What this part of the flight says."""
    return opinion(flight)


def opinion(flight: Flight) -> Opinion:
    """What the trees say of the flight on average over all that the branch is not told."""
    rows = in_the_place_of(model.prepare([flight]), PART, app.state.others)
    said = log_odds(model.predict(rows).mean())
    return {"odds": round(float(said), 6), "usual": round(app.state.usual, 6)}


async def listen(redis: "Redis") -> None:
    """Answer every flight of the stream once, however long it has been waiting."""
    try:
        await redis.xgroup_create(FLIGHTS, PART, id="0", mkstream=True)
    except ResponseError as already:
        log.info("the group is there", extra={"said": str(already)})
    while True:
        try:
            found = await redis.xreadgroup(PART, PART, {FLIGHTS: ">"}, count=32, block=500)
            for _, messages in found or []:
                for ident, fields in messages:
                    await put_beside(redis, ident, opinion(orjson.loads(fields[b"flight"])))
        except RedisError as error:  # the queue is away: it keeps what it has, so ask again
            log.warning("the queue does not answer", extra={"error": str(error)})
            await asyncio.sleep(0.1)


async def put_beside(redis: "Redis", ident: bytes, said: Opinion) -> None:
    """The asynchronous join: whoever puts the last opinion beside the others says so."""
    key = b"join:" + ident
    async with redis.pipeline(transaction=True) as together:
        together.hset(key, PART, orjson.dumps(said))
        together.hlen(key)
        together.expire(key, KEPT_SECONDS)
        _, count, _ = await together.execute()
    if count == len(PARTS):
        await redis.xadd(JOINED, {"flight": ident})
    await redis.xack(FLIGHTS, PART, ident)
