"""A predictor that answers at once and writes down, a moment later, what it was asked and said."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from lab_services.services import settings
from lab_services.services.predictor import Flight, Forecast, Model
from lab_services.services.service import Service
from lab_services.services.write_behind import WriteBehind

LATE_ABOVE = settings.late_above()
STREAM = "predictions"
KEPT = 100_000  # predictions that the stream holds

model = Model()
redis: "Redis"


async def write(predictions: list[dict[Any, Any]]) -> None:
    """Send predictions to the log."""
    pipe = redis.pipeline(transaction=False)
    for prediction in predictions:
        pipe.xadd(STREAM, prediction, maxlen=KEPT, approximate=True)
    await pipe.execute()


predictions = WriteBehind(write, away=(RedisError, OSError), most=KEPT)


@asynccontextmanager
async def resources(app: Service) -> AsyncIterator[None]:
    """The model, and the log that predictions are written to a moment later."""
    global redis
    model.load()
    async with Redis.from_url(settings.text("LOG_URL")) as redis, predictions.writing(app):
        yield


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
    predictions.add({"flight": orjson.dumps(flight), "probability": probability})
    return {"probability": probability, "late": late}
