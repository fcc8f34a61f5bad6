"""Helpers of the lab `serving/data-cache`: what it reads off, and the theory."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from redis import Redis

from lab_services import traffic
from lab_services.labs.serving import data_cache as lab
from lab_services.patterns.serving.data_cache import preparing
from lab_services.traffic.recording import Recording

NOON = datetime(2013, 11, 5, 12, tzinfo=UTC)
GOOD = {"temp": 50.0, "dewp": 40.0, "humid": 60.0, "wind_dir": 10.0, "wind_speed": 8.0,
        "wind_gust": None, "precip": 0.0, "pressure": 1010.0, "visib": 10.0}  # fmt: skip


def dossier(*temperatures, **changed):
    reports = [
        {"hour": NOON + timedelta(hours=n), **GOOD, "temp": temperature, **changed}
        for n, temperature in enumerate(temperatures)
    ]
    flight = {"carrier": "B6", "origin": "JFK", "destination": "BOS", "weekday": 2}
    flight |= {"departs": 720, "distance": 187.0, "briefed": NOON}
    return {"version": 7, "flight": flight, "reports": reports}


# --- what the lab reads off -----------------------------------------------------------------------


def recording(*rows):
    table = pd.DataFrame(rows, columns=["flight", "started", "answered_by"])
    return Recording(table.assign(ok=table["answered_by"] != "", warmup=False), 0.0, 1.0)


def test_an_answer_is_stale_when_a_newer_version_was_there_before():
    """A change during the request held against it; versions of one flight taken for another's."""
    asked = [(1, 1.0, "read 1 2e-5"), (1, 2.5, "hit 1 1e-5"), (2, 2.5, "hit 1 1e-5"),
             (1, 2.6, "hit 2 1e-5"), (1, 0.5, "read 2 1e-5"), (1, 9.0, "")]  # fmt: skip
    log = pd.DataFrame({"flight": [1, 1], "version": [2, 3], "at": [2.0, 3.0]})
    found = lab.with_staleness(lab.told(recording(*asked)), log)
    assert found["behind"].tolist() == [0, 1, 0, 0, 0]
    assert found["stale"].tolist() == [False, True, False, False, False]
    assert found["seconds"].iloc[0] == 2e-5


def test_shares_are_means_over_flights():
    """An interval for requests that are no independent ones; shares beyond 0 and 1."""
    table = pd.DataFrame({"flight": [1, 1, 1, 2], "stale": [True, True, True, False]})
    share = lab.share_by_flight(table, "stale")
    assert (share.value, share.low, share.high) == (0.5, 0.0, 1.0)
    fit = lab.fit_by_flight(table.assign(foretold=0.5), "stale", "foretold")
    assert fit.value == pytest.approx((3 / 1.5 + 0) / 2)


def test_where_no_flight_was_asked_for_nothing_is_known():
    """A traceback, or a share from 0 to 1, of no request or of one flight alone."""
    table = pd.DataFrame({"flight": [1, 1], "stale": [True, False], "foretold": [0.0, 0.0]})
    alone = lab.share_by_flight(table, "stale")
    assert (alone.value, alone.low, alone.high) == (0.5, 0.0, 1.0) and alone.note
    unknown = [
        lab.share_by_flight(table.head(0), "stale"),
        lab.fit_by_flight(table.head(0), "stale", "foretold"),
        lab.fit_by_flight(table, "stale", "foretold"),
    ]
    assert not any(found.known for found in unknown)
    assert "foretold" in unknown[-1].note


def test_flights_that_agree_are_counted_by_their_requests():
    """No interval, as if it were certain, where not one hit of any flight was stale."""
    table = pd.DataFrame({"flight": [1, 1, 2, 2], "stale": False})
    share = lab.share_by_flight(table, "stale")
    assert (share.value, share.low, share.n) == (0.0, 0.0, 4) and 0.5 < share.high < 0.7


def test_an_entry_is_paired_with_the_other_forms_of_its_flight(redis_server):
    """Memory of one flight over that of another one."""
    with Redis.from_url(redis_server) as cache:
        cache.flushall()
        for form, flight, size in (("rows", 17, 900), ("rows", 2, 100), ("tensor", 2, 50)):
            cache.set(preparing.key_of(form, "plain", flight), b"x" * size)
        found = lab.entry_bytes(cache, ["rows", "tensor", "packed"])
    assert found.loc[17, "rows"] > 900 > found.loc[2, "rows"] > 100 > found.loc[2, "tensor"] > 50
    assert np.isnan(found.loc[17, "tensor"]) and found["packed"].isna().all()


def latencies(*seconds):
    table = pd.DataFrame({"intended": np.arange(len(seconds)), "latency": seconds, "ok": True})
    return Recording(table.assign(warmup=False), 0.0, 1.0)


def test_waiting_is_counted_in_reads():
    """A p95 of too few requests, or one without an interval."""
    reads = latencies(*[0.02] * 50)
    found = lab.in_reads(latencies(*np.linspace(0, 0.4, 400)), reads)
    assert found.value == pytest.approx(19, rel=0.01) and found.low < found.value < found.high
    assert "needs 200" in lab.in_reads(latencies(*[0.1] * 100), reads).note
    assert "too few" in lab.in_reads(latencies(*[0.1] * 400), latencies(0.02)).note


def test_a_read_that_the_clock_does_not_tell_is_unknown():
    """A read that costs nothing, by which an exercise divides."""
    assert lab.each_took(0.5, 10).value == pytest.approx(0.05)
    assert "clock" in lab.each_took(0.0, 10).note
    assert not lab.each_took(0.5, 0).known


def test_without_an_answer_nothing_is_told():
    """A traceback where every request has failed."""
    told = lab.told(recording((1, 1.0, ""), (2, 1.0, "")))
    log = pd.DataFrame({"flight": [1], "version": [2], "at": [2.0]})
    found = lab.with_staleness(told, log)
    assert found.empty and {"source", "stale", "seconds"} <= set(found)


def test_steps_are_timed():
    """A step that costs nothing because it was never done."""
    steps = lab.step_seconds("rows", dossier(40.0), lab.loaded_prepare())
    assert 0 < steps["of that: decode"] < steps["use the entry"]
    assert set(lab.step_seconds("tensor", dossier(40.0), lab.loaded_prepare())) == {
        "make the entry", "use the entry",
    }  # fmt: skip


def test_old_weather_is_what_was_known_then():
    """A report from the hour of departure, or one that a station made up."""
    source = lab.Source(50)
    fresh, old = source.said_with_weather_of(0), source.said_with_weather_of(24)
    assert len(fresh) == 50 and (fresh != old).any()
    source.reports = source.reports.assign(temp=999.0)
    with pytest.raises(ValueError, match="no report"):
        source.said_with_weather_of(0)


# --- theory ---------------------------------------------------------------------------------------


def test_stale_hits_by_hand():
    """uT/2 for short lives, nearly all for long ones, none without changes."""
    assert lab.stale_hits(1.0, 0.01) == pytest.approx(0.005, rel=0.01)
    assert lab.stale_hits(1.0, 1.0) == pytest.approx(np.exp(-1))
    assert lab.stale_hits(10.0, 100.0) == pytest.approx(1.0, abs=0.01)
    assert lab.stale_hits(0.0, 5.0) == 0.0


def test_different_flights():
    """More different flights than there are."""
    popularity = traffic.zipf(100)
    assert lab.different(popularity, 1) == pytest.approx(1, abs=0.1)
    assert lab.different(popularity, 1e6) == pytest.approx(100)
    asked = traffic.draw(popularity, 300, seed=4)
    assert len(set(asked)) == pytest.approx(lab.different(popularity, 300), abs=10)
