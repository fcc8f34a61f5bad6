"""What a predictor says of flights, over the samples that their forecasts may turn into.

Weather at departure is itself a forecast, so an answer is the mean over several samples. How many
there are decides how much work a prediction is.
"""

import asyncio
from collections.abc import Iterator, Sequence

import numpy as np

from lab_services.models.features import FEATURES
from lab_services.services import settings
from lab_services.services.predictor import Flight, Forecast, Model, Rows

WEATHER = [FEATURES.index(name) for name in ("temperature", "humidity", "wind", "rain")]
"""The columns of a row that a forecast of the weather has been put into."""

ROWS_AT_ONCE = 1 << 14
"""So many rows the model gets at most in one call, where one flight does not need more: some 10 ms
of a core and a megabyte, however many flights are asked for and whatever their samples."""


def changes(samples: int, error: float) -> Rows:
    """By what each of so many samples differs from its forecast: factors for the columns WEATHER.

    `error` is how far a forecast is off, as a share of its value. Always the same ones; the first
    is the forecast itself.
    """
    draws = np.random.default_rng(0).standard_normal((samples, len(WEATHER)), dtype=np.float32)
    draws[0] = 0
    return 1 + np.float32(error) * draws


def sampled(rows: Rows, changes: Rows) -> Rows:
    """Each row once for every weather that its forecast may turn into, one flight after another."""
    many = np.repeat(rows, len(changes), axis=0)
    many[:, WEATHER] *= np.tile(changes, (len(rows), 1))
    return many


class Forecasts:
    """Forecasts of flights by a model, which is loaded by whoever owns it.

    Of the environment: LATE_ABOVE, above which probability a flight is called late (0.3);
    SAMPLES, over how many the mean is taken (1) where `samples` does not say it; and
    FORECAST_ERROR, how far a weather forecast is off, as a share of its value (0.2). Raises
    LabError where one of them is out of range.

    >>> forecasts = Forecasts(model)
    >>> forecasts([flight])
    [{'probability': 0.4127, 'late': True}]
    """

    def __init__(self, model: Model, samples: int | None = None) -> None:
        self._model = model
        self._late_above = settings.late_above()
        stated = settings.number("SAMPLES", 1, low=1, high=100_000)
        self._samples = samples or int(stated)
        error = settings.number("FORECAST_ERROR", 0.2, low=0, high=1)
        self._changes = changes(self._samples, error)

    def __call__(self, flights: Sequence[Flight]) -> list[Forecast]:
        """What the model says of each flight. Whoever calls waits for all of them."""
        return [forecast for piece in self._pieces(flights) for forecast in piece]

    async def in_turns(self, flights: Sequence[Flight]) -> list[Forecast]:
        """The same in the event loop, where other requests get their turn between two pieces.

        What fits into one piece is answered without a pause.
        """
        answered: list[Forecast] = []
        for piece in self._pieces(flights):
            if answered:
                await asyncio.sleep(0)
            answered += piece
        return answered

    def _pieces(self, flights: Sequence[Flight]) -> Iterator[list[Forecast]]:
        at_once = max(1, ROWS_AT_ONCE // self._samples)
        for at in range(0, len(flights), at_once):
            yield self._piece(flights[at : at + at_once])

    def _piece(self, flights: Sequence[Flight]) -> list[Forecast]:
        rows = self._model.prepare(flights)
        if self._samples > 1:
            rows = sampled(rows, self._changes)
        answers = self._model.predict(rows)
        return [self._forecast(of_one) for of_one in answers.reshape(-1, self._samples).tolist()]

    def _forecast(self, answers: list[float]) -> Forecast:
        """What the answers for one flight in all its samples come to."""
        probability = round(sum(answers) / self._samples, 6)
        return {"probability": probability, "late": probability > self._late_above}
