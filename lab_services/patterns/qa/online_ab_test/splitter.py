"""Online A/B test: the splitter pins every traveller to a model and writes down what came of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import aiohttp
import redis.asyncio
from fastapi import Header, Request, Response
from pydantic import Field
from redis.typing import EncodableT, FieldT
from typing_extensions import TypedDict

from lab_services.patterns.qa.online_ab_test.variants import arm_of
from lab_services.services import settings
from lab_services.services.service import Service

PREDICT_URL = settings.text("PREDICT_URL")
LOG = redis.asyncio.from_url(settings.text("LOG"), decode_responses=True)
# The parts of the log: who was given which arm, what its model answered, what happened in the end.
ASSIGNED, ANSWERED, HAPPENED = "assigned", "answered", "happened"
TIMEOUT = aiohttp.ClientTimeout(total=5)

Name = Annotated[str, Header(min_length=1, max_length=64)]
Entry = dict[FieldT, EncodableT]


class Split(TypedDict):
    """A test and the share of the travellers that its candidate gets; 0 is the kill switch."""

    test: Annotated[str, Field(min_length=1, max_length=64, examples=["boosted-trees"])]
    share: Annotated[float, Field(ge=0, le=1, examples=[0.1])]


class Outcome(TypedDict):
    """What became of the flight that a request asked about."""

    request: Annotated[str, Field(min_length=1, max_length=64, examples=["boosted-trees-17"])]
    late: bool


Outcomes = Annotated[list[Outcome], Field(min_length=1, max_length=1000)]


@dataclass
class State:
    """What this splitter does now."""

    split: Split
    session: aiohttp.ClientSession | None = None


state = State({"test": "first", "share": settings.number("SHARE", 0.5, low=0, high=1)})


@asynccontextmanager
async def connected(_: Service) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(timeout=TIMEOUT) as state.session, LOG:
        yield


app = Service("splitter", lifespan=connected)


@app.post("/split")
async def change(split: Split) -> Split:
    """Begin another test, or change the share of this one: a ramp, or the end of it."""
    state.split = split
    return split


@app.post("/predict")
async def predict(request: Request, x_user: Name, x_request_id: Name) -> Response:
    """Ask the model that this traveller is pinned to. The assignment is logged first."""
    test, share = state.split["test"], state.split["share"]
    arm = arm_of(x_user, salt=test, share=share)
    entry: Entry = {"test": test, "request": x_request_id, "user": x_user, "arm": arm}
    await LOG.xadd(ASSIGNED, entry | {"share": share})
    return await ask(request, entry, {"x-arm": arm})


@app.post("/predict/by-chance")
async def predict_by_chance(request: Request, x_user: Name, x_request_id: Name) -> Response:
    """Leave the choice to the proxy, which draws anew for each request."""
    entry: Entry = {"test": "by-chance", "request": x_request_id, "user": x_user}
    return await ask(request, entry, {})


@app.post("/outcomes", status_code=204)
async def report(outcomes: Outcomes) -> None:
    """What happened to flights that were asked about, hours later; joined by their requests."""
    async with LOG.pipeline(transaction=False) as several:
        for outcome in outcomes:
            several.xadd(HAPPENED, {"request": outcome["request"], "late": int(outcome["late"])})
        await several.execute()


async def ask(request: Request, entry: Entry, headers: dict[str, str]) -> Response:
    """Forward a request; an answer is logged with the arm that gave it, a failure is not."""
    assert state.session is not None
    sent = {**headers, "content-type": "application/json"}
    sent["x-app"] = request.headers.get("x-app", "")
    try:
        async with state.session.post(
            PREDICT_URL, data=await request.body(), headers=sent
        ) as answer:
            content = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        return Response(f'{{"detail": "no answer: {type(error).__name__}"}}', 502)
    if answer.status == 200:
        given: Entry = {"arm": answer.headers["x-arm"], "forecast": content}
        await LOG.xadd(ANSWERED, entry | given)
    return Response(content, answer.status, media_type="application/json")
