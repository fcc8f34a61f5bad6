"""Both halves in one service, for comparison: the same work without the hop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lab_services.patterns.serving.prep_pred.predict import forecast
from lab_services.patterns.serving.prep_pred.prepare import Hours, Samples
from lab_services.patterns.serving.prep_pred.preparing import Preparation
from lab_services.services.cpu_throttle import CpuThrottle
from lab_services.services.predictor import Flight, Forecast, Model
from lab_services.services.service import Service

model, preparation, throttle = Model(), Preparation(), CpuThrottle()


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The model, and its card for the preparation."""
    model.load()
    preparation.load()
    yield


app = Service("whole", lifespan=resources)


@app.post("/predict")
async def predict(flight: Flight, samples: Samples = 1, hours: Hours = 0) -> Forecast:
    """Will this flight arrive more than 15 minutes late? The mean over many samples."""
    async with throttle:
        return forecast(model, preparation.rows(flight, samples, hours))
