"""Synchronous: the caller stops until the prediction is back.

A web application that runs its work on threads, as synchronous frameworks do. Whoever asks the
predictor holds a thread until the answer is there. Each way to wait that is asked for is like an
application of its own, with threads of its own, so that several can be compared on one fault.
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
from fastapi import Depends, HTTPException, Query, Response
from prometheus_client import Gauge

from lab_services.services import settings
from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Flights, Forecast, Model
from lab_services.services.service import Service

JSON = {"content-type": "application/json"}
# What means that the predictor has not answered: too late, no connection, or no proper answer.
FAILED = (OSError, http.client.HTTPException, orjson.JSONDecodeError)

AIRPORTS = {
    "EWR": "Newark Liberty International Airport",
    "JFK": "John F. Kennedy International Airport",
    "LGA": "LaGuardia Airport",
}

rough = Model()
rough_forecasts = Forecasts(rough, samples=1)
idle: deque[http.client.HTTPConnection] = deque()  # connections that nobody uses at the moment


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The rough model of the fallback, and the connections to the predictors."""
    rough.load()
    yield
    for connection in idle:
        connection.close()


app = Service("synchronous", lifespan=resources)


# --- the pattern --------------------------------------------------------------------------------


class Way(NamedTuple):
    """How an application waits: for how long, and on whose threads."""

    deadline: float  # seconds until the fallback answers; infinite where there is none
    predicting: CapacityLimiter  # the threads that may ask the predictor
    others: CapacityLimiter  # the threads for everything else


def way(threads: int, deadline: float = math.inf, *, bulkhead: bool = False) -> Way:
    """An application with so many threads: one pool for all, or one thread kept for the others."""
    if bulkhead:
        return Way(deadline, CapacityLimiter(threads - 1), CapacityLimiter(1))
    shared = CapacityLimiter(threads)
    return Way(deadline, shared, shared)


async def forecasts(way: Way, flights: Flights, response: Response) -> list[Forecast]:
    """The predictor's forecasts, or the rough model's where they do not come by the deadline."""
    until = monotonic() + way.deadline
    try:
        with fail_after(way.deadline):  # the wait for a thread counts, or the queue has no end
            return await to_thread.run_sync(ask, flights, until, limiter=way.predicting)
    except FAILED as failure:
        if math.isinf(way.deadline):
            raise HTTPException(503, "The predictor has not answered.") from failure
        response.status_code = 203  # so that nobody takes it for the predictor's
        return rough_forecasts(flights)


def ask(flights: Flights, until: float) -> list[Forecast]:
    """The predictor's forecasts; holds its thread until they are there. Raises one of FAILED."""
    connection = free_connection()
    try:
        wait_no_longer(connection, until)
        connection.request("POST", "/predict/board", orjson.dumps(flights), JSON)
        wait_no_longer(connection, until)
        answer = connection.getresponse()
        if answer.status != 200:
            raise http.client.HTTPException(answer.status)
        found: list[Forecast] = orjson.loads(body(answer, connection, until))
    except FAILED:
        connection.close()  # the answer may still come, and would be taken for the next one's
        raise
    idle.append(connection)
    return found


def body(
    answer: http.client.HTTPResponse, connection: http.client.HTTPConnection, until: float
) -> bytes:
    """The answer's body, packet by packet: a read of all of it would wait anew for each."""
    packets: list[bytes] = []
    while not packets or packets[-1]:
        wait_no_longer(connection, until)
        packets.append(answer.read1())
    answer.read()  # nothing is left, and only this frees the connection for the next request
    return b"".join(packets)


def wait_no_longer(connection: http.client.HTTPConnection, until: float) -> None:
    """Limit what comes next to the time that is left.

    A socket's limit is for each packet by itself, so it is set anew before each. Of the head it is
    set once: a head that comes in pieces may take longer.
    """
    left = None if math.isinf(until) else max(until - monotonic(), 0.001)
    connection.timeout = left  # where it is not connected yet
    if connection.sock:
        connection.sock.settimeout(left)


# --- around it ----------------------------------------------------------------------------------


def free_connection() -> http.client.HTTPConnection:
    """A connection to the predictors that nobody uses, a new one where all are in use."""
    try:
        return idle.pop()
    except IndexError:
        return http.client.HTTPConnection(urlsplit(settings.text("PREDICTOR_URL")).netloc)


waiting = Gauge(
    "waiting",
    "Requests that wait for a thread",
    ["threads", "milliseconds", "bulkhead"],
    registry=app.registry,
)


@cache
def application(threads: int, milliseconds: float | None, bulkhead: bool) -> Way:
    """The application of this kind: there is one, whose threads all who ask for it share."""
    deadline = math.inf if milliseconds is None else milliseconds / 1000
    made = way(threads, deadline, bulkhead=bulkhead)
    gauge = waiting.labels(threads, milliseconds or "none", bulkhead)
    gauge.set_function(partial(queued, made.predicting))
    return made


def queued(limiter: CapacityLimiter) -> int:
    """How many requests wait for one of these threads."""
    return limiter.statistics().tasks_waiting


def asked(
    threads: Annotated[int, Query(ge=2, le=64)],
    milliseconds: Annotated[float | None, Query(ge=1, le=60_000)] = None,
    bulkhead: bool = False,
) -> Way:
    """Which application is asked: so many threads, a deadline or none, a bulkhead or none."""
    return application(threads, milliseconds, bulkhead)


Asked = Annotated[Way, Depends(asked)]


@app.post("/board")
async def board(way: Asked, flights: Flights, response: Response) -> list[Forecast]:
    """A page that cannot be shown without predictions: which of these flights will be late?"""
    return await forecasts(way, flights, response)


@app.get("/airport/{code}")
async def airport(way: Asked, code: Literal["EWR", "JFK", "LGA"]) -> dict[str, str]:
    """A page that needs no prediction at all."""
    found = await to_thread.run_sync(AIRPORTS.__getitem__, code, limiter=way.others)
    return {"code": code, "name": found}
