"""Prediction cache: answers are kept under their question, and repeats do not reach the model.

Each door is the same service with another way of using the cache, and with keys of its own, so that
the ways can be compared in one stack.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import aiohttp
import orjson
from fastapi import HTTPException, Query, Response
from redis.asyncio import Redis
from redis.exceptions import RedisError
from typing_extensions import TypedDict

from lab_services.patterns.serving.prediction_cache.questions import Answer, Question, key
from lab_services.services import settings
from lab_services.services.service import Service

TTL = settings.number("TTL", 60, low=0.01, high=86_400)  # seconds that an answer is kept
EAGER = settings.number("EAGER", 1, low=0.01, high=100)  # how early is early, see `early`

log = logging.getLogger(__name__)


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The connections to the cache and to the predictor."""
    app.state.predictor = settings.text("PREDICTOR_URL") + "/predict"
    connector = aiohttp.TCPConnector(limit=0)
    # A cache that does not answer must not be slower than the model.
    cache = Redis.from_url(settings.text("CACHE_URL"), socket_timeout=1, socket_connect_timeout=1)
    async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session, cache:
        app.state.session, app.state.cache = session, cache
        yield


app = Service("prediction-cache", lifespan=resources)
under_way: "dict[str, asyncio.Task[Answer]]" = {}  # questions that the model has at this moment
beside_hits: "set[asyncio.Task[Answer]]" = set()
newest = ""  # the model that answered last

Found = tuple[Answer, str]  # the answer, and where it came from


class Entry(TypedDict):
    """What the cache holds: the answer, what it took (s), and until when it is good (Unix s)."""

    answer: Answer
    took: float
    until: float


# --- the pattern: ways of using a cache -----------------------------------------------------------


async def plain(question: Question, ttl: float) -> Found:
    """No cache."""
    return await ask(question), "model"


async def first(question: Question, ttl: float, *, door: str = "first", version: str = "") -> Found:
    """Look first, and ask the model only where there is nothing."""
    if found := await look(key(door, question, version)):
        return found["answer"], "cache"
    return await ask_and_keep(door, question, ttl, versioned=door == "versioned"), "model"


async def beside(question: Question, ttl: float) -> Found:
    """Look and ask at once: a miss has not waited for the look, a hit has asked in vain."""
    asking = asyncio.create_task(ask_and_keep("beside", question, ttl))
    if found := await look(key("beside", question)):
        beside_hits.add(asking)  # it goes on, and what it brings is kept
        asking.add_done_callback(forgotten)
        return found["answer"], "cache"
    return await asking, "model"


async def versioned(question: Question, ttl: float) -> Found:
    """As `first`, with the model in the key: a new model begins with an empty cache."""
    return await first(question, ttl, door="versioned", version=newest)


async def single(question: Question, ttl: float) -> Found:
    """As `first`, but who misses what is being computed already waits for that (single flight)."""
    name = key("single", question)
    if found := await look(name):
        return found["answer"], "cache"
    if name in under_way:
        return await asyncio.shield(under_way[name]), "shared"
    under_way[name] = asyncio.create_task(ask_and_keep("single", question, ttl))
    under_way[name].add_done_callback(lambda _: under_way.pop(name))
    return await asyncio.shield(under_way[name]), "model"


async def early(question: Question, ttl: float) -> Found:
    """As `first`, but a lot decides for each hit whether it renews the answer before it expires.

    The later it is, and the longer the answer takes, the likelier: Vattani, Chierichetti and
    Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015.
    """
    found = await look(key("early", question))
    if found:
        ahead = -found["took"] * EAGER * math.log(1 - random.random())
        if time.time() + ahead < found["until"]:
            return found["answer"], "cache"
    return await ask_and_keep("early", question, ttl), "model"


# --- what they share ------------------------------------------------------------------------------


async def look(name: str) -> Entry | None:
    """What the cache holds. Without a cache there is only the model: slow, and still right."""
    try:
        found = await app.state.cache.get(name)
    except RedisError as error:
        log.warning("the cache does not answer", extra={"error": repr(error)})
        return None
    entry: Entry | None = orjson.loads(found) if found else None
    return entry


async def ask_and_keep(
    door: str, question: Question, ttl: float, *, versioned: bool = False
) -> Answer:
    """The model's answer, kept for `ttl` seconds under the model that gave it."""
    begin = time.time()
    answer = await ask(question)
    now = time.time()
    entry: Entry = {"answer": answer, "took": now - begin, "until": now + ttl}
    name = key(door, question, answer["model"] if versioned else "")
    try:
        await app.state.cache.set(name, orjson.dumps(entry), px=max(1, round(1000 * ttl)))
    except RedisError as error:
        log.warning("the cache does not take it", extra={"error": repr(error)})
    return answer


async def ask(question: Question) -> Answer:
    """The model's answer. Raises HTTPException where there is none."""
    global newest
    try:
        async with app.state.session.post(app.state.predictor, json=question) as response:
            answer: Answer = orjson.loads(await response.read())
    except (aiohttp.ClientError, TimeoutError) as failure:
        raise HTTPException(503, "The predictor has not answered.") from failure
    newest = answer["model"]
    return answer


def forgotten(asking: "asyncio.Task[Any]") -> None:
    """Nobody waits for it any more; that it failed is said in the log."""
    beside_hits.discard(asking)
    if not asking.cancelled() and (error := asking.exception()):
        log.warning("an answer beside a hit failed", extra={"error": repr(error)})


Door = Literal["plain", "first", "beside", "versioned", "single", "early"]
DOORS: dict[str, Callable[[Question, float], Awaitable[Found]]] = {
    "plain": plain,
    "first": first,
    "beside": beside,
    "versioned": versioned,
    "single": single,
    "early": early,
}


@app.post("/{door}/predict")
async def predict(
    door: Door,
    question: Question,
    response: Response,
    ttl: Annotated[float, Query(ge=0.01, le=86_400)] = TTL,
) -> Answer:
    """Will this flight arrive late? The header says whether cache or model, and which model."""
    answer, source = await DOORS[door](question, ttl)
    response.headers["x-answered-by"] = f"{source} {answer['model']}"
    return answer
