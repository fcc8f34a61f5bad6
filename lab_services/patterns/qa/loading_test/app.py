"""The predictor under test: it answers for a whole board of flights, one board after the other.

Beside the version in use stand the next one, which does more work, and one with a fault that only
a long test finds. They share a process, so that they can be compared on one machine in one minute.
"""

import numpy as np
import orjson

from lab_services.services import settings
from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Flight, Flights, Forecast, Model, Rows, create_app

model = Model()
app = create_app("loading-test", model)
forecasts = Forecasts(model)
next_forecasts = Forecasts(model, int(settings.number("NEXT_WEATHERS", 1300, low=1, high=100_000)))
quick_forecasts = Forecasts(model, 1)


@app.post("/predict/board")
async def predict(flights: Flights) -> list[Forecast]:
    """Will each of these flights arrive more than 15 minutes late?"""
    return await forecasts.in_turns(flights)


@app.post("/next/board")
async def predict_next(flights: Flights) -> list[Forecast]:
    """The same by the next version, which takes the mean over more samples."""
    return await next_forecasts.in_turns(flights)


@app.post("/predict/quick")
async def predict_quick(flight: Flight) -> Forecast:
    """One flight in one weather: next to no work."""
    return quick_forecasts([flight])[0]


# --- the fault ----------------------------------------------------------------------------------

KEPT_ROWS = int(settings.number("KEPT_ROWS", 4000, low=1, high=100_000))  # of each question
remembered: dict[bytes, Rows] = {}


@app.post("/kept/board")
async def predict_and_keep(flights: Flights) -> list[Forecast]:
    """The same, and every question's rows are kept in case it comes again. Nothing drops one."""
    question = orjson.dumps(flights)
    if question not in remembered:
        rows = model.prepare(flights)
        remembered[question] = np.resize(rows, (KEPT_ROWS, rows.shape[1]))
    return await forecasts.in_turns(flights)
