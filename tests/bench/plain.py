"""The predictor as FastAPI's tutorial has it: no service of ours, no metrics, no setting."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Flight, Forecast, Model

model = Model()
forecasts = Forecasts(model)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    model.load()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
async def predict(flight: Flight) -> Forecast:
    """Will this flight arrive more than 15 minutes late?"""
    (forecast,) = forecasts([flight])
    return forecast
