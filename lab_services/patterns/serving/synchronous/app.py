"""Synchronous: the caller stops until the prediction is back.

A web application that runs its work on threads, as synchronous frameworks do. Whoever asks the
predictor holds a thread until the answer is there. It does so in several ways, as if it were
several applications with threads of their own, so that they can be compared on one fault.
"""

import http.client
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from time import monotonic
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

import orjson
from anyio import CapacityLimiter, fail_after, to_thread
from fastapi import HTTPException, Path, Response
from prometheus_client import Gauge

from lab_services.services import settings
from lab_services.services.predictor import Flights, Forecast, Model
from lab_services.services.service import Service

LATE_ABOVE = settings.number("LATE_ABOVE", 0.3, low=0, high=1)
THREADS = int(settings.number("THREADS_IN_ALL", 4, low=2, high=256))
DEADLINE = settings.number("DEADLINE", 0.2, low=0.001, high=60)  # seconds
# What means that the predictor has not answered: too late, no connection, or no proper answer.
FAILED = (OSError, http.client.HTTPException)

AIRPORTS = {
    "EWR": "Newark Liberty International Airport",
    "JFK": "John F. Kennedy International Airport",
    "LGA": "LaGuardia Airport",
}

rough = Model()
idle: deque[http.client.HTTPConnection] = deque()  # connections that nobody uses at the moment


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The rough model of the fallback, and the connections to the predictors."""
    rough.load()
    yield
    for connection in idle:
        connection.close()


app = Service("synchronous", lifespan=resources)
waiting = Gauge("waiting", "Requests that wait for a thread", ["way"], registry=app.registry)


# --- the pattern --------------------------------------------------------------------------------


class Way(NamedTuple):
    """How an application waits: for how long, and on whose threads."""

    deadline: float  # seconds until the fallback answers; infinite where there is none
    predicting: CapacityLimiter  # the threads that may ask the predictor
    others: CapacityLimiter  # the threads for everything else


def way(deadline: float = math.inf, threads: int = THREADS, *, bulkhead: bool = False) -> Way:
    """An application with so many threads: one pool for all, or one thread kept for the others."""
    if bulkhead:
        return Way(deadline, CapacityLimiter(threads - 1), CapacityLimiter(1))
    shared = CapacityLimiter(threads)
    return Way(deadline, shared, shared)


WAYS = {
    "waits": way(),
    "bulkhead": way(bulkhead=True),
    "deadline": way(DEADLINE),
    "guarded": way(DEADLINE, bulkhead=True),
}
Name = Literal["waits", "bulkhead", "deadline", "guarded"]


@app.post("/{name}/board")
async def board(name: Name, flights: Flights, response: Response) -> list[Forecast]:
    """A page that cannot be shown without predictions: which of these flights will be late?"""
    return await forecasts(WAYS[name], flights, response)


@app.get("/{name}/airport/{code}")
async def airport(name: Name, code: Literal["EWR", "JFK", "LGA"]) -> dict[str, str]:
    """A page that needs no prediction at all."""
    found = await to_thread.run_sync(AIRPORTS.__getitem__, code, limiter=WAYS[name].others)
    return {"code": code, "name": found}


async def forecasts(way: Way, flights: Flights, response: Response) -> list[Forecast]:
    """The predictor's forecasts, or the rough model's where they do not come by the deadline."""
    until = monotonic() + way.deadline
    try:
        with fail_after(way.deadline):  # the wait for a thread counts, or the queue has no end
            return await to_thread.run_sync(ask, flights, until, limiter=way.predicting)
    except FAILED as failure:
        if math.isinf(way.deadline):
            raise HTTPException(503, "The predictor has not answered.") from failure
        return instead(flights, response)


def ask(flights: Flights, until: float) -> list[Forecast]:
    """The predictor's forecasts; holds its thread until they are there. Raises one of FAILED."""
    connection = connected(None if math.isinf(until) else max(until - monotonic(), 0.001))
    try:
        connection.request("POST", "/predict/board", orjson.dumps(flights), JSON)
        answer = connection.getresponse()
        body = answer.read()
    except FAILED:
        connection.close()  # the answer may still come, and would be taken for the next one's
        raise
    idle.append(connection)
    if answer.status != 200:
        raise http.client.HTTPException(answer.status)
    found: list[Forecast] = orjson.loads(body)
    return found


def instead(flights: Flights, response: Response) -> list[Forecast]:
    """The rough model's forecasts. Status 203 says that they do not come from the predictor."""
    response.status_code = 203
    probabilities = rough.predict(rough.prepare(flights)).tolist()
    return [{"probability": round(p, 6), "late": p > LATE_ABOVE} for p in probabilities]


# --- around it ----------------------------------------------------------------------------------

JSON = {"content-type": "application/json"}


def connected(seconds: float | None) -> http.client.HTTPConnection:
    """A connection to the predictors that waits for so long, and for ever with None."""
    try:
        connection = idle.pop()
    except IndexError:
        address = urlsplit(settings.text("PREDICTOR_URL")).netloc
        connection = http.client.HTTPConnection(address)
    connection.timeout = seconds
    if connection.sock:
        connection.sock.settimeout(seconds)
    return connection


def queued(limiter: CapacityLimiter) -> int:
    """How many requests wait for one of these threads."""
    return limiter.statistics().tasks_waiting


with_threads = cache(lambda threads: way(threads=threads))
# Threads enough that nobody waits for one: what is left is the deadline.
within = cache(lambda milliseconds: way(milliseconds / 1000, threads=64))

for name, each in WAYS.items():
    waiting.labels(name).set_function(partial(queued, each.predicting))


@app.post("/threads/{threads}/board")
async def board_with_threads(
    threads: Annotated[int, Path(ge=1, le=64)], flights: Flights, response: Response
) -> list[Forecast]:
    """The board by an application of so many threads that waits for ever."""
    return await forecasts(with_threads(threads), flights, response)


@app.post("/within/{milliseconds}/board")
async def board_within(
    milliseconds: Annotated[float, Path(ge=1, le=60_000)], flights: Flights, response: Response
) -> list[Forecast]:
    """The board by an application with that deadline and threads enough."""
    return await forecasts(within(milliseconds), flights, response)
