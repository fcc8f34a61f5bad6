"""All in one: one process holds every model that MODELS names, and answers for all of them.

    MODELS="board=/models/good.onnx advice=/models/good.onnx reasons=/models/rough.onnx"

With one name in it this is a predictor with a service of its own: what lives together is decided
by that line and by nothing else.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import numpy as np

from lab_services.models import payloads
from lab_services.models.features import FEATURES
from lab_services.services import settings
from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Flight, Forecast, Model, Rows
from lab_services.services.service import Service

# Reasons: each field of a flight takes the values that it has in so many other flights.
OTHERS = int(settings.number("OTHERS", 500, low=1, high=10_000))
# So many explanations are kept for who asks again; 0 is no limit, and that is the leak.
KEEP = int(settings.number("KEEP", 0, low=0, high=1_000_000))

Board = Callable[[Flight], Awaitable[Forecast]]
Reasons = Callable[[Flight], Awaitable[dict[str, float]]]


def board(model: Model) -> Board:
    """One line of the departures board: one row for the model."""
    return forecast(Forecasts(model, samples=1))


def advice(model: Model) -> Board:
    """Whether to book another flight: thousands of samples around the forecast."""
    return forecast(Forecasts(model))


def reasons(model: Model) -> Reasons:
    """By how much each field of a flight moves its probability."""
    others = model.prepare(cast("list[Flight]", payloads.flights(OTHERS, seed=7, months=(10,))))
    kept: dict[str, tuple[Rows, dict[str, float]]] = {}

    async def explained(flight: Flight) -> dict[str, float]:
        key = str(flight)  # with the weather of this minute: the same is not asked twice
        if key not in kept:
            kept[key] = explain(model, flight, others)
            if 0 < KEEP < len(kept):
                del kept[next(iter(kept))]  # the oldest
        return kept[key][1]

    return explained


def explain(model: Model, flight: Flight, others: Rows) -> tuple[Rows, dict[str, float]]:
    """The flights that might have been, and what each field adds to the probability."""
    row = model.prepare([flight])
    rows = np.tile(row, (len(FEATURES), len(others), 1))
    for column in range(len(FEATURES)):
        rows[column, :, column] = others[:, column]
    without = model.predict(rows.reshape(-1, len(FEATURES))).reshape(len(FEATURES), -1).mean(axis=1)
    moves = (model.predict(row)[0] - without).round(6).tolist()
    return rows, dict(zip(FEATURES, moves, strict=True))


def forecast(forecasts: Forecasts) -> Board:
    """The endpoint that answers with the forecast of one flight."""

    async def expected(flight: Flight) -> Forecast:
        return forecasts([flight])[0]

    return expected


ANSWERS: dict[str, Callable[[Model], Board | Reasons]] = {"advice": advice, "reasons": reasons}
models = {
    name: Model(path)
    for name, path in (each.split("=") for each in settings.text("MODELS").split())
}


@asynccontextmanager
async def loaded(_: Service) -> AsyncIterator[None]:
    """All models, one after another: until the last is there, none answers."""
    for name, model in models.items():
        model.load()
        # Any other name is asked as the board is.
        app.post(f"/{name}")(ANSWERS.get(name, board)(model))
    yield


app = Service(" and ".join(models), lifespan=loaded)
