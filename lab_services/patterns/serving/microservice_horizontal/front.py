"""Microservice horizontal: independent branches are asked at once, and their answers are joined.

One endpoint joins while the caller waits, in the way that the caller orders; another one only takes
the flight in, and the branches join what they say in Redis.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiohttp
import orjson
from fastapi import Header, HTTPException, Query, Response
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState
from pydantic import BaseModel, Field
from redis.asyncio import Redis

from lab_services.patterns.serving.microservice_horizontal.parts import PARTS, Opinion, joined
from lab_services.services import settings
from lab_services.services.predictor import Flight, Forecast
from lab_services.services.service import Service

LATE_ABOVE = settings.number("LATE_ABOVE", 0.3, low=0, high=1)
FAILURES = int(settings.number("FAILURES", 3, low=1, high=1000))
OPEN_SECONDS = settings.number("OPEN_SECONDS", 0.5, low=0.01, high=3600)
# What means that a branch has not answered: an error, no answer in time, or that nobody asked.
FAILED = (aiohttp.ClientError, TimeoutError, OpenedState)
PARTIAL = 203  # the status of an answer that lacks a branch


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The connections to the branches and to the queue."""
    app.state.urls = {part: settings.text(f"{part.upper()}_URL") + "/predict" for part in PARTS}
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector, raise_for_status=True) as session,
        Redis.from_url(settings.text("QUEUE_URL")) as queue,
    ):
        app.state.session, app.state.queue = session, queue
        yield


app = Service("microservice-horizontal", lifespan=resources)
circuits = AsyncCircuitBreakerFactory(default_ttl=OPEN_SECONDS)
diary: deque[dict[str, Any]] = deque(maxlen=20_000)


class Order(BaseModel):
    """How to ask: `deadline` and `hedge` in seconds."""

    fan: Annotated[int, Field(ge=1, le=64)] = len(PARTS)
    deadline: Annotated[float, Field(gt=0, le=10)] = 10.0
    hedge: Annotated[float, Field(ge=0, le=10)] = 0.0
    breaker: bool = False


class Call:
    """One branch of one request: how often it was asked, how long it took, what came."""

    def __init__(self, part: str, flight: Flight, order: Order) -> None:
        self.part, self.flight, self.order = part, flight, order
        self.sent, self.seconds = 0, 0.0

    async def __call__(self) -> Opinion:
        """The branch's opinion. Raises one of FAILED."""
        clock = asyncio.get_running_loop().time
        begin = clock()
        try:
            return await (self.through_circuit() if self.order.breaker else self.in_time())
        finally:
            self.seconds = clock() - begin

    async def in_time(self) -> Opinion:
        async with asyncio.timeout(self.order.deadline):
            return await (self.hedged() if self.order.hedge else self.ask())

    async def ask(self) -> Opinion:
        self.sent += 1
        async with app.state.session.post(app.state.urls[self.part], json=self.flight) as answer:
            opinion: Opinion = await answer.json()
        return opinion

    async def hedged(self) -> Opinion:
        """Ask once more when the answer is slow in coming, and take the first one that is right."""
        asked = [asyncio.create_task(self.ask())]
        try:
            done, _ = await asyncio.wait(asked, timeout=self.order.hedge)
            if not done:
                asked.append(asyncio.create_task(self.ask()))
            for answered in asyncio.as_completed(asked):
                try:
                    return await answered
                except aiohttp.ClientError as error:
                    failure = error  # the other call may still be answered
            raise failure
        finally:
            for each in asked:
                each.cancel()

    async def through_circuit(self) -> Opinion:
        """A branch that has failed several times in a row is not asked for a while."""
        circuit = await circuits.get_breaker(self.part, threshold=FAILURES)
        try:
            async with circuit:
                return await self.in_time()
        except OpenedState as opened:
            opened.__traceback__ = None  # one object for all: it would keep every caller's frames
            raise


@app.post("/predict")
async def predict(
    flight: Flight,
    order: Annotated[Order, Query()],
    response: Response,
    x_request: Annotated[int, Header()] = 0,
) -> Forecast:
    """The synchronous join: as slow as the slowest branch, or as the deadline."""
    parts = list(PARTS)
    calls = [Call(parts[n % len(parts)], flight, order) for n in range(order.fan)]
    answers = await asyncio.gather(*[call() for call in calls], return_exceptions=True)
    said = {}
    for call, answer in zip(calls, answers, strict=True):
        if isinstance(answer, FAILED):
            continue
        if isinstance(answer, BaseException):
            raise answer
        said[call.part] = answer
    note(x_request, calls, said)
    if not said:
        raise HTTPException(503, "No branch has answered.")
    if len(said) < len({call.part for call in calls}):
        response.status_code = PARTIAL
    return forecast(said)


def forecast(said: dict[str, Opinion]) -> Forecast:
    """One answer of those that have come."""
    probability = round(joined(said.values()), 6)
    return {"probability": probability, "late": probability > LATE_ABOVE}


def note(request: int, calls: list[Call], said: dict[str, Opinion]) -> None:
    """For the lab: what each call of a request took, and which branches are in the answer."""
    diary.append(
        {
            "request": request,
            "seconds": [round(call.seconds, 6) for call in calls],
            "sent": sum(call.sent for call in calls),
            "arrived": list(said),
        }
    )


@app.get("/joins", tags=["operation"])
async def joins(after: int = -1) -> list[dict[str, Any]]:
    """What `note` has noted of the requests numbered above `after`."""
    return [each for each in diary if each["request"] > after]


# --- the asynchronous join ----------------------------------------------------------------------


@app.post("/submit", status_code=202)
async def submit(flight: Flight, x_request: Annotated[int, Header()] = 0) -> dict[str, str]:
    """Take a flight in; every branch will find it in the stream."""
    ident = await app.state.queue.xadd(
        "flights", {"flight": orjson.dumps(flight), "request": x_request}
    )
    return {"answer": f"/answers/{ident.decode()}"}


@app.get("/answers/{ident}")
async def answer(ident: str, response: Response) -> Forecast:
    """What the branches have said of a flight so far."""
    found = await app.state.queue.hgetall(f"join:{ident}")
    if not found:
        raise HTTPException(404, "No branch has answered yet.")
    if len(found) < len(PARTS):
        response.status_code = PARTIAL
    return forecast({part.decode(): orjson.loads(said) for part, said in found.items()})
