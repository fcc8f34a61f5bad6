"""Web single: the API, the preparation and the model are one unit, deployed together."""

import numpy as np

from lab_services.models.features import FEATURES
from lab_services.services import settings
from lab_services.services.predictor import Flight, Flights, Forecast, Model, Rows, create_app

# Above this probability a flight is called late.
LATE_ABOVE = settings.number("LATE_ABOVE", 0.3, low=0, high=1)
# Weather at departure is itself a forecast: the answer is the mean over that many weathers.
WEATHERS = int(settings.number("WEATHERS", 1, low=1, high=100_000))
# How far a forecast is off, as a share of its value.
FORECAST_ERROR = settings.number("FORECAST_ERROR", 0.2, low=0, high=1)

model = Model()
app = create_app("web-single", model)
weather = [FEATURES.index(name) for name in ("temperature", "humidity", "wind", "rain")]
draws = np.random.default_rng(0).standard_normal((WEATHERS, len(weather)), dtype=np.float32)
draws[0] = 0  # the forecast itself is one of them


def forecasts(flights: list[Flight]) -> list[Forecast]:
    """What the model says of each flight."""
    answers = model.predict(in_all_weathers(model.prepare(flights)))
    return [forecast(of_one) for of_one in answers.reshape(-1, WEATHERS).tolist()]


forecast_of = app.one_of_many(forecasts)


@app.post("/predict")
async def predict(flight: Flight) -> Forecast:
    """Will this flight arrive more than 15 minutes late?"""
    return await forecast_of(flight)


@app.post("/predict/batch")
async def predict_batch(flights: Flights) -> list[Forecast]:
    """Will each of these flights arrive more than 15 minutes late?"""
    return forecasts(flights)


def in_all_weathers(rows: Rows) -> Rows:
    """Each flight once for every weather that its forecast may turn into."""
    if WEATHERS == 1:
        return rows
    rows = np.repeat(rows, WEATHERS, axis=0)
    rows[:, weather] *= 1 + FORECAST_ERROR * np.tile(draws, (len(rows) // WEATHERS, 1))
    return rows


def forecast(answers: list[float]) -> Forecast:
    """What the answers for one flight in all its weathers come to."""
    probability = round(sum(answers) / WEATHERS, 6)
    return {"probability": probability, "late": probability > LATE_ABOVE}
