"""Asynchronous, the front: it takes a job, gives a ticket at once, and later the result."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import orjson
from fastapi import Body, Query, Response
from pydantic import Field
from redis.asyncio import Redis
from redis.exceptions import RedisError
from typing_extensions import TypedDict

from lab_services.services import settings
from lab_services.services.predictor import Flight
from lab_services.services.service import Service

STREAM, GROUP = "jobs", "workers"
# The stream lets go of its oldest jobs beyond that many, done or not: a limit of its memory, some
# 300 bytes a job, and far above what may ever wait.
LONGEST = 5_000_000
AGAIN_SECONDS = 0.1  # where the queue does not answer: until the next try

log = logging.getLogger(__name__)


class Prediction(TypedDict):
    """One job: which flight, how thoroughly, and who pays for it."""

    id: Annotated[str, Field(min_length=1, max_length=64, examples=["ua-1545"])]
    flight: Flight
    samples: Annotated[int, Field(ge=1, le=100_000, examples=[8000])]
    # Strict: a number that comes as a text says that its sender has another idea of a job.
    late_above: Annotated[float, Field(strict=True, ge=0, le=1, examples=[0.3])]
    account: Annotated[str, Field(min_length=1, max_length=64, examples=["united"])]
    keyed: Annotated[bool, Field(description="Charge for this id once, however often it is done")]


class Ticket(TypedDict):
    """What the caller gets at once: the id under which the result will be found."""

    id: str


@asynccontextmanager
async def resources(app: Service) -> AsyncIterator[None]:
    """The queue, the store, and one subscription for all who wait for a result."""
    global queue, store
    queue = Redis.from_url(settings.text("QUEUE_URL"))
    store = Redis.from_url(settings.text("STORE_URL"))
    async with queue, store, store.pubsub() as news:
        await news.subscribe("finished")
        app.background(tell(news))
        yield


app = Service("asynchronous", lifespan=resources)
queue: "Redis"
store: "Redis"
waiting: dict[str, set[asyncio.Event]] = defaultdict(set)


async def put(ident: str, job: Any) -> Ticket:
    """Into the queue; whether anybody works there makes no difference here."""
    await queue.xadd(STREAM, {"job": orjson.dumps(job)}, maxlen=LONGEST, approximate=True)
    return {"id": ident}


@app.post("/jobs", status_code=202)
async def submit(job: Prediction) -> Ticket:
    """Take a job that has been checked."""
    return await put(job["id"], job)


@app.post("/jobs/unchecked", status_code=202)
async def submit_unchecked(job: Annotated[dict[str, Any], Body()]) -> Ticket:
    """Take what is given, as the queue itself does from a producer who writes into it directly."""
    return await put(str(job.get("id")), job)


@app.get("/jobs/{ident}")
async def result(
    ident: str, response: Response, wait: Annotated[float, Query(ge=0, le=60)] = 0
) -> Any:
    """The result, or 202 where there is none yet; with `wait` the answer is held back for it."""
    arrived = asyncio.Event()
    waiting[ident].add(arrived)  # before the look, or what comes in between is missed
    try:
        found: Any = await store.hget("results", ident)
        if found is None and wait:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(arrived.wait(), wait)
            found = await store.hget("results", ident)
    finally:
        waiting[ident].discard(arrived)
        if not waiting[ident]:
            del waiting[ident]
    response.status_code = 202 if found is None else 200
    return {"id": ident} if found is None else orjson.loads(found)


async def tell(news: Any) -> None:
    """Wake those who wait for a result that a worker has announced.

    What is announced while the connection is down is not heard; whoever waits looks once more.
    """
    while True:
        try:
            async for message in news.listen():  # it connects and subscribes again by itself
                if message["type"] == "message":
                    for arrived in waiting.get(message["data"].decode(), ()):
                        arrived.set()
        except RedisError as error:
            log.error("no news of results", extra={"error": repr(error)})
        await asyncio.sleep(AGAIN_SECONDS)


@app.get("/queue")
async def backlog() -> dict[str, int | None]:
    """Jobs that nobody has taken, jobs in work, and dead letters: what an alarm should watch."""
    untouched: int | None = await queue.xlen(STREAM)
    taken = 0
    for group in await queue.xinfo_groups(STREAM) if untouched else ():
        if group["name"].decode() == GROUP:
            # Once the stream has let go of jobs, Redis cannot tell how many are waiting.
            untouched, taken = group["lag"], group["pending"]
    return {"waiting": untouched, "taken": taken, "dead": await queue.xlen(f"{STREAM}-dead")}
