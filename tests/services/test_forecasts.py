"""Samples that a forecast may turn into."""

import asyncio

import numpy as np
import pytest

from lab_services.models.features import EXAMPLE, FEATURES
from lab_services.services.forecasts import (
    ROWS_AT_ONCE,
    WEATHER,
    Forecasts,
    changes,
    sampled,
)


def test_each_flight_meets_every_weather():
    """Samples that are all alike, that touch the schedule, or that differ between flights."""
    rows = np.full((2, len(FEATURES)), 2.0, dtype=np.float32)
    rows[1] = 4.0
    many = sampled(rows, changes(3, 0.1))
    assert many.shape == (6, len(FEATURES)) and many.dtype == np.float32
    assert np.all(rows[0] == 2.0) and np.all(rows[1] == 4.0)  # as it was
    schedule = [place for place in range(len(FEATURES)) if place not in WEATHER]
    assert np.all(many[:3, schedule] == 2.0)
    assert len(set(many[:3, WEATHER[0]])) == 3
    assert np.allclose(many[3:], 2 * many[:3])


def test_the_forecast_itself_is_the_first_of_them():
    """A service with one weather that answers as if the forecast were wrong."""
    assert np.all(changes(5, 0.2)[0] == 1)
    assert np.all(changes(5, 0.2)[:3] == changes(3, 0.2))
    assert np.all(changes(4, 0) == 1)


class Counting:
    """In the place of a model: its answer is a row's departure, and it counts rows and turns."""

    def __init__(self):
        self.calls = []

    def prepare(self, flights):
        rows = np.zeros((len(flights), len(FEATURES)), dtype=np.float32)
        rows[:, FEATURES.index("departs")] = [flight["departs"] / 10_000 for flight in flights]
        return rows

    def predict(self, rows):
        self.calls.append(len(rows))
        return rows[:, FEATURES.index("departs")]


@pytest.mark.parametrize(
    ("flights", "samples"), [(1, 100_000), (3, 16_000), (100, 1_000), (1_000, 1), (1_000, 100)]
)
def test_memory_knows_a_bound_whatever_is_asked(flights, samples):
    """A thousand flights in 16,000 samples each were one table of 1.8 GB."""
    model = Counting()
    asked = [{**EXAMPLE, "departs": number} for number in range(flights)]
    answers = Forecasts(model, samples)(asked)
    assert max(model.calls) <= max(ROWS_AT_ONCE, samples)
    assert sum(model.calls) == flights * samples
    assert [round(answer["probability"] * 10_000) for answer in answers] == list(range(flights))


def test_others_get_their_turn_between_two_pieces():
    """A batch that held the event loop for 25 s: not even /ready was answered meanwhile."""
    model, turns = Counting(), []

    async def both():
        batch = asyncio.create_task(Forecasts(model, ROWS_AT_ONCE // 2).in_turns([EXAMPLE] * 20))
        while not batch.done():
            turns.append(len(model.calls))
            await asyncio.sleep(0)
        return await batch

    assert len(asyncio.run(both())) == 20
    assert {*range(2, 10)} <= set(turns), "a turn after each piece"


def test_what_is_small_is_answered_without_a_pause():
    """A board that lets others pass it, where the lab measures one board after the other."""
    asked = Forecasts(Counting(), 1_000).in_turns([EXAMPLE] * 4)
    with pytest.raises(StopIteration):
        asked.send(None)
