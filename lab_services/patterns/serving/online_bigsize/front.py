"""Two ways out in front of a queue: a ticket now and the answer later, or a night's list."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import orjson
from fastapi import HTTPException, Response
from pydantic import Field
from redis.asyncio import Redis
from typing_extensions import TypedDict

from lab_services.services import settings
from lab_services.services.predictor import Flight
from lab_services.services.service import Service

MOST = 2000


class Question(TypedDict):
    """A flight, and the id under which its answer will be found."""

    id: Annotated[str, Field(min_length=1, max_length=64, examples=["ua-1545"])]
    flight: Flight


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    global redis
    redis = Redis.from_url(settings.text("QUEUE_URL"))
    async with redis:
        yield


app = Service("online-bigsize-front", lifespan=resources)
redis: Any  # redis-py's types stand for both its clients at once


@app.post("/jobs", status_code=202)
async def submit(question: Question) -> dict[str, str]:
    """A ticket at once; whoever holds the model answers when it is its turn."""
    await redis.xadd("jobs", {"job": orjson.dumps(question)})
    return {"id": question["id"]}


@app.post("/nights", status_code=202)
async def submit_night(
    questions: Annotated[list[Question], Field(min_length=1, max_length=MOST)],
) -> dict[str, int]:
    """All questions of a night at once, before anybody asks them."""
    async with redis.pipeline(transaction=True) as steps:
        for question in questions:
            steps.xadd("jobs", {"job": orjson.dumps(question)})
        await steps.execute()
    return {"queued": len(questions)}


@app.get("/answers/{ident}")
async def answer(ident: str) -> Response:
    """What has been computed before; 404 where it has not (yet)."""
    found = await redis.hget("answers", ident)
    if found is None:
        raise HTTPException(404, f"There is no answer for {ident} yet.")
    return Response(found, media_type="application/json")
