"""Multiple stage prediction, the front: a rough answer at once, the good one when it is there."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import orjson
from fastapi import Query, Response
from pydantic import Field
from redis.asyncio import Redis
from redis.exceptions import RedisError
from typing_extensions import TypedDict

from lab_services.services import settings
from lab_services.services.predictor import Flight, Forecast, Model
from lab_services.services.service import Service

STREAM, NEWS = "jobs", "answers"
# The stream lets go of its oldest jobs beyond that many; nobody looks at their screens any more.
LONGEST = 100_000
# Above this probability a flight is called late.
LATE_ABOVE = settings.number("LATE_ABOVE", 0.3, low=0, high=1)

Ident = Annotated[str, Field(min_length=1, max_length=64, examples=["ua-1545"])]
Wait = Annotated[float, Query(ge=0, le=60, description="Hold the answer back so long (seconds)")]

log = logging.getLogger(__name__)


class Screen(TypedDict):
    """What somebody looks at now. A deployment would have the last three as settings."""

    screen: Ident
    session: Ident
    flight: Flight
    margin: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            examples=[1],
            description="Ask the good model where the rough probability is nearer than this to the "
            "threshold: 1 is always, 0 never",
        ),
    ]
    samples: Annotated[int, Field(ge=1, le=100_000, examples=[10_000])]
    patience: Annotated[
        float,
        Field(ge=0, le=3600, examples=[0], description="Seconds; older jobs are skipped; 0: none"),
    ]


class Shown(Forecast):
    """The rough forecast, and whether a good one has been asked for."""

    better_to_come: bool


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The rough model, the queue, and one subscription for all who wait for a good answer."""
    global queue
    model.load()
    queue = Redis.from_url(settings.text("QUEUE_URL"))
    async with queue, queue.pubsub() as news:
        await news.subscribe(NEWS)
        telling = asyncio.create_task(tell(news))
        yield
        telling.cancel()


model = Model()
app = Service("multiple-stage-prediction", lifespan=resources)
queue: "Redis"
asking: set["asyncio.Task[None]"] = set()
waiting: dict[str, set["asyncio.Future[Any]"]] = defaultdict(set)


@app.post("/screens")
async def show(asked: Screen) -> Shown:
    """What the rough model says, at once; where that is unsure the good one is asked as well."""
    rough = round(float(model.predict(model.prepare([asked["flight"]]))[0]), 6)
    unsure = abs(rough - LATE_ABOVE) < asked["margin"]
    if unsure:  # the first answer waits for nobody, for the queue neither
        task = asyncio.create_task(ask_the_good_model(asked, rough))
        asking.add(task)
        task.add_done_callback(asking.discard)
    return {"probability": rough, "late": rough > LATE_ABOVE, "better_to_come": unsure}


async def ask_the_good_model(asked: Screen, rough: float) -> None:
    """Into the queue, with the screen that the answer is for."""
    try:
        job = orjson.dumps({**asked, "rough": rough})
        await queue.xadd(STREAM, {"job": job}, maxlen=LONGEST, approximate=True)
    except RedisError as error:
        log.error("no good answer will come", extra={"error": repr(error)})


@app.get("/screens/{screen}")
async def good(screen: Ident, response: Response, wait: Wait = 0) -> Any:
    """The good answer for this screen and for no other; 202 where there is none (yet)."""
    with hearing(f"screen {screen}") as coming:  # before the look, or what comes in between is lost
        kept = await queue.get(f"answer {screen}")
        return told(orjson.loads(kept) if kept else await within(coming, wait), response)


@app.get("/sessions/{session}/next")
async def next_good(session: Ident, response: Response, wait: Wait = 0) -> Any:
    """The next good answer of this session, whichever of its screens it is for."""
    with hearing(f"session {session}") as coming:
        return told(await within(coming, wait), response)


@app.post("/screens/good")
async def only_good(asked: Screen, response: Response) -> Any:
    """No first answer: the good one alone, for comparison."""
    with hearing(f"screen {asked['screen']}") as coming:
        await ask_the_good_model(asked, 0.0)
        return told(await within(coming, 60), response)


@contextmanager
def hearing(about: str) -> Iterator["asyncio.Future[Any]"]:
    """What will be told next about a screen or a session."""
    coming: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    waiting[about].add(coming)
    try:
        yield coming
    finally:
        waiting[about].discard(coming)
        if not waiting[about]:
            del waiting[about]


async def within(coming: "asyncio.Future[Any]", seconds: float) -> Any:
    """What comes in that time, or None."""
    await asyncio.wait([coming], timeout=seconds)
    return coming.result() if coming.done() else None


def told(answer: Any, response: Response) -> Any:
    """The answer as it is sent, with the screen it is for in a header too."""
    if answer is None:
        response.status_code = 202
        return {}
    response.headers["x-answered-by"] = answer["screen"]
    return answer


async def tell(news: Any) -> None:
    """Wake those who wait for an answer that the worker has announced."""
    async for message in news.listen():
        if message["type"] == "message":
            answer = orjson.loads(message["data"])
            for about in (f"screen {answer['screen']}", f"session {answer['session']}"):
                for coming in waiting.get(about, ()):
                    if not coming.done():
                        coming.set_result(answer)
