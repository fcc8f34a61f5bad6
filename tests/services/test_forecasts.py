"""Weathers that a forecast may turn into."""

import numpy as np

from lab_services.models.features import FEATURES
from lab_services.services.forecasts import WEATHER, changes, in_all_weathers


def test_each_flight_meets_every_weather():
    """Weathers that are all alike, that touch the schedule, or that differ between flights."""
    rows = np.full((2, len(FEATURES)), 2.0, dtype=np.float32)
    rows[1] = 4.0
    many = in_all_weathers(rows, changes(3, 0.1))
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
