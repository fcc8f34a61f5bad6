"""Prediction circuit break: a caller that answers although its predictor is late, refuses or fails.

The same application calls the predictor in seven ways, so that they can be compared on one fault.
"""

import json
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiohttp
from fastapi import HTTPException, Path, Response
from prometheus_client import Counter, Gauge
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import Context, OpenedState

from lab_services.services import settings
from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Flight, Forecast, Model
from lab_services.services.service import Service

# Seconds that one try may take. The proxy is told with each request and gives up first, so that it
# sees the failure, too; the caller waits a little longer.
DEADLINE = settings.number("DEADLINE", 0.25, low=0.001, high=60)
GRACE = 1.2
TRIES = 4  # of the port that retries (envoy.yaml)
FAILURES = int(settings.number("FAILURES", 5, low=1, high=1000))
OPEN_SECONDS = settings.number("OPEN_SECONDS", 0.5, low=0.01, high=3600)
# What means that the predictor has not answered: too late, no connection, or an error status.
FAILED = (aiohttp.ClientError, TimeoutError, json.JSONDecodeError)

rough = Model()
rough_forecasts = Forecasts(rough, samples=1)


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The rough model and the connections to the proxy."""
    rough.load()
    connections = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connections, raise_for_status=True) as session:
        app.state.session = session
        yield


app = Service("prediction-circuit-break", lifespan=resources)
answers = Counter("answers", "Answers by their source", ["source"], registry=app.registry)


async def ask(
    port: str, flight: Flight, *, tries: int = 1, headers: Mapping[str, str] | None = None
) -> Forecast:
    """The predictor's answer by one of the proxy's ports. Raises one of FAILED."""
    url = settings.text(f"{port}_URL") + "/predict"
    told = {
        "x-envoy-upstream-rq-timeout-ms": milliseconds(tries * DEADLINE),
        "x-envoy-upstream-rq-per-try-timeout-ms": milliseconds(DEADLINE),
        **(headers or {}),
    }
    limit = aiohttp.ClientTimeout(total=tries * DEADLINE * GRACE)
    async with app.state.session.post(url, json=flight, timeout=limit, headers=told) as answer:
        forecast: Forecast = await answer.json()
    answers.labels("predictor").inc()
    return forecast


def milliseconds(seconds: float) -> str:
    """As the proxy's headers have it: whole, and not 0, which would mean no limit at all."""
    return str(max(1, round(seconds * 1000)))


def instead(flight: Flight, response: Response) -> Forecast:
    """The rough model's answer. Status 203 says that it does not come from the predictor."""
    answers.labels("fallback").inc()
    response.status_code = 203
    (forecast,) = rough_forecasts([flight])
    return forecast


@app.post("/predict/unprotected")
async def unprotected(flight: Flight) -> Forecast:
    """By the port that retries; no other answer than the predictor's."""
    try:
        return await ask("RETRYING", flight, tries=TRIES)
    except FAILED as failure:
        raise HTTPException(503, "The predictor has not answered.") from failure


@app.post("/predict/limit/{rate}")
async def limit(rate: Annotated[int, Path(ge=1)], flight: Flight, response: Response) -> Forecast:
    """Load shedding: the proxy refuses what is above `rate` requests per second."""
    return await with_fallback("LIMITED", flight, response, {"x-limit": str(rate)})


@app.post("/predict/bounded")
async def bounded(flight: Flight, response: Response) -> Forecast:
    """Load shedding: the proxy refuses what is above a number of requests in flight."""
    return await with_fallback("BOUNDED", flight, response)


@app.post("/predict/guarded")
async def guarded(flight: Flight, response: Response) -> Forecast:
    """The proxy sends nothing for a while after failures in a row."""
    return await with_fallback("GUARDED", flight, response)


@app.post("/predict/replicas")
async def replicas(flight: Flight, response: Response) -> Forecast:
    """The proxy leaves out the single replica that fails."""
    return await with_fallback("EJECTING", flight, response)


@app.post("/predict/fallback")
async def fallback_only(flight: Flight, response: Response) -> Forecast:
    """A deadline and a fallback, and nothing that learns from failures."""
    return await with_fallback("PLAIN", flight, response)


async def with_fallback(
    port: str, flight: Flight, response: Response, headers: Mapping[str, str] | None = None
) -> Forecast:
    """The predictor's answer, or the rough model's where it refuses, fails or is late."""
    try:
        return await ask(port, flight, headers=headers)
    except FAILED:
        return instead(flight, response)


# --- the circuit breaker in code ----------------------------------------------------------------

circuits = AsyncCircuitBreakerFactory(
    default_ttl=OPEN_SECONDS,
    # What a caller has got wrong, or has not waited for, says nothing of the predictor.
    exclude=[(aiohttp.ClientResponseError, lambda e: 400 <= e.status < 500), CancelledError],
)


@app.post("/predict/breaker")
async def breaker(flight: Flight, response: Response) -> Forecast:
    """With a circuit that opens after FAILURES failures in a row."""
    return await through_circuit(FAILURES, flight, response)


@app.post("/predict/breaker/{failures}")
async def breaker_after(
    failures: Annotated[int, Path(ge=1, le=1000)], flight: Flight, response: Response
) -> Forecast:
    """With a circuit of its own that opens after `failures` failures in a row."""
    return await through_circuit(failures, flight, response)


async def through_circuit(failures: int, flight: Flight, response: Response) -> Forecast:
    """Closed: ask. Open: do not even ask. Half-open: ask, and what comes of it decides."""
    circuit = await circuits.get_breaker(str(failures), threshold=failures)
    try:
        async with circuit:
            diary.look(circuit.context)  # open becomes half-open on the way in
            return await ask("PLAIN", flight)
    except OpenedState as opened:
        opened.__traceback__ = None  # one object for all: it would keep every caller's frames
        return instead(flight, response)
    except FAILED:
        return instead(flight, response)
    finally:
        diary.look(circuit.context)


class Diary:
    """When each circuit changed its state."""

    def __init__(self) -> None:
        self.changes: deque[dict[str, Any]] = deque(maxlen=10_000)
        self._seen: dict[str, str] = {}
        self._open = Gauge(
            "circuit_open", "0 closed, 0.5 half-open, 1 open", ["circuit"], registry=app.registry
        )

    def look(self, context: Context) -> None:
        """Note the state where it is another than at the last look."""
        name, state = context.name, context.state
        if self._seen.get(name, "closed") != state:
            self.changes.append({"circuit": name, "state": state, "at": time.time()})
            self._open.labels(name).set({"closed": 0, "half-opened": 0.5, "opened": 1}[state])
        self._seen[name] = state


diary = Diary()


@app.get("/circuits", tags=["operation"])
async def changes() -> list[dict[str, Any]]:
    """Every change of state: circuit (its failures in a row), state and Unix time."""
    return list(diary.changes)
