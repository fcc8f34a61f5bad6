"""A predictor that answers at once and writes down, a moment later, what it was asked and said."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from lab_services.services import settings
from lab_services.services.predictor import Flight, Forecast, Model
from lab_services.services.service import Service

# Above this probability a flight is called late.
LATE_ABOVE = settings.number("LATE_ABOVE", 0.3, low=0, high=1)
STREAM = "predictions"
KEPT = 100_000  # predictions that the stream holds
WRITE_EVERY = 0.1  # seconds

log = logging.getLogger(__name__)
model = Model()
waiting: deque[dict[Any, Any]] = deque(maxlen=KEPT)


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The model, and the one who carries the predictions to the log."""
    model.load()
    async with Redis.from_url(settings.text("LOG_URL")) as redis:
        writing = asyncio.create_task(write(redis))
        yield
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        await write_waiting(redis)


app = Service("prediction-monitoring", lifespan=resources)
answered = Counter(
    "predictions", "Flights by what was said of them", ["late"], registry=app.registry
)


@app.post("/predict")
async def predict(flight: Flight) -> Forecast:
    """Will this flight arrive more than 15 minutes late?"""
    probability = round(float(model.predict(model.prepare([flight]))[0]), 6)
    late = probability > LATE_ABOVE
    answered.labels(str(late).lower()).inc()
    waiting.append({"flight": orjson.dumps(flight), "probability": probability})
    return {"probability": probability, "late": late}


async def write(redis: "Redis") -> None:
    """Carry predictions to the log, out of the way of those who wait for answers."""
    while True:
        await asyncio.sleep(WRITE_EVERY)
        await write_waiting(redis)


async def write_waiting(redis: "Redis") -> None:
    """Send what waits to the log; while that is away it waits on, and the oldest is dropped."""
    taken = list(waiting)
    if not taken:
        return
    pipe = redis.pipeline(transaction=False)
    for prediction in taken:
        pipe.xadd(STREAM, prediction, maxlen=KEPT, approximate=True)
    try:
        await pipe.execute()
    except (RedisError, OSError) as error:
        log.warning("log unreachable", extra={"waiting": len(waiting), "error": str(error)})
        return
    for _ in taken:
        waiting.popleft()
