"""Helpers of the lab `serving/synchronous`: what it reads off, and the theory."""

import numpy as np
import pandas as pd
import pytest

from lab_services import traffic
from lab_services.labs.serving import synchronous as lab

# --- reading and theory --------------------------------------------------------------------------


def recorded(rows):
    """A recording from tuples: intended, latency (s), ok."""
    table = pd.DataFrame(rows, columns=["intended", "latency", "ok"])
    return traffic.Recording(table.assign(warmup=False), begin=0.0, seconds=10.0)


def test_boards_hold_each_flight_once():
    """Flights that are lost or shown twice, and boards that are all of one length."""
    flights = [{"n": n} for n in range(3000)]
    boards = lab.boards(flights, mean=4, most=20)
    shown = [flight for board in boards for flight in board]
    assert shown == flights[: len(shown)]
    assert len(shown) > 2970
    lengths = [len(board) for board in boards]
    assert np.mean(lengths) == pytest.approx(4, rel=0.1)
    assert (min(lengths), max(lengths)) == (1, 20)
    for bad in ({"mean": 0.5}, {"most": 0}):
        with pytest.raises(ValueError, match="at least one flight"):
            lab.boards(flights, **bad)


def test_what_comes_out_is_counted_by_when_it_came():
    """What was sent taken for what came back, or failures counted as answers."""
    # One a second is sent, one every two seconds comes back.
    recording = recorded([(float(n), float(n), n % 5 > 0) for n in range(40)])
    assert lab.returned(recorded([(n, n, True) for n in range(40)]), 4).value == 0.5
    assert lab.returned(recording, 4).value < 0.5


def test_too_few_answers_make_no_rate():
    """A slow machine's few answers end the run, or are divided by no time."""
    once = recorded([(float(n), 1.0, True) for n in range(40)])
    assert "1 answers came back" in lab.returned(once, 38.5).note
    assert "0 answers" in lab.returned(recorded([(1.0, 1.0, False)] * 3), 0).note
    together = recorded([(1.0, 1.0, True), (1.0, 1.0, True), (3.0, 9.0, False)])
    assert "a rate needs two" in lab.returned(together, 0).note


def test_a_rate_knows_its_spread():
    """The rate of a pause and a rush, as exact as that of a clock."""
    steady = lab.returned(recorded([(n / 10, 0.01, True) for n in range(100)]), 0)
    assert steady.high - steady.low < 0.01
    random = np.random.default_rng(0)
    rates = [
        lab.returned(recorded([(at, 0, True) for at in np.cumsum(random.exponential(0.1, 200))]), 0)
        for _ in range(100)
    ]
    assert 85 < sum(rate.low <= 10 <= rate.high for rate in rates) <= 100


def test_who_comes_halfway_waits_for_half_of_what_piles_up():
    """An interval as wide as the queue grows, or a line through what was never answered."""
    random = np.random.default_rng(0)
    grows = [(n / 10, 1 + n / 10 + random.normal(0, 0.1), n % 10 > 0) for n in range(100)]
    found = lab.halfway(recorded(grows))
    assert found.value == pytest.approx(1 + 99 / 20, abs=0.2)
    assert 0 < found.high - found.low < 0.3
    assert not lab.halfway(recorded(grows[:20])).known


def test_how_busy_the_predictors_were():
    """Readings in the order of the threads that took them."""
    found = lab.busy([(2.0, 5.5), (0.0, 4.0), (1.0, 5.0)])
    assert (found.value, found.unit, found.n) == (pytest.approx(0.75), "share", 2)


def test_late_boards_after_a_fault():
    """Requests from before, or answers in time, counted as lost."""
    recording = recorded([(1, 0.9, True), (2, 0.9, True), (3, 0.1, True), (4, 0.1, False)])
    assert lab.untimely(recording, 2, 0.25) == 2


def test_the_share_that_a_deadline_cuts_off():
    assert lab.slower([0.1, 0.2, 0.3, 0.4], 0.25) == 0.5


def test_what_the_theory_is_not_given_it_does_not_know():
    """A share of nothing, or 0 seconds lost, from what could not be measured."""
    assert np.isnan(lab.slower([], 0.25))
    assert np.isnan(lab.slower([0.1, 0.2], np.nan))
    known = {"rate": 50.0, "threads": 4, "well": 0.04, "ill": 0.4, "limit": 0.25}
    for name in ("rate", "well", "ill"):
        assert np.isnan(lab.seconds_lost(3.0, **{**known, name: np.nan}))


def simulated_waits(random, *, threads, held, predictions, others, count=100_000):
    """What requests wait in one pool, first come first served."""
    free = np.zeros(threads)
    arrivals = np.cumsum(random.exponential(1 / (predictions + others), count))
    works = random.random(count) < predictions / (predictions + others)
    waits = np.empty(count)
    for place, (now, work) in enumerate(zip(arrivals, works, strict=True)):
        first = free.argmin()
        begin = max(now, free[first])
        waits[place] = begin - now
        free[first] = begin + held * work
    return waits


def test_the_neighbours_wait_against_a_simulation():
    """A theory's curve that is off by more than a reader would forgive."""
    known = {"threads": 4, "held": 0.1, "predictions": 30.0, "others": 60.0}
    waits = simulated_waits(np.random.default_rng(0), **known)
    assert lab.neighbours_wait(0.9, **known) == pytest.approx(np.quantile(waits, 0.9), rel=0.25)
    assert lab.neighbours_wait(0.9, **{**known, "held": 0.14}) == np.inf
    assert lab.neighbours_wait(0.5, **{**known, "held": 0.02}) == 0.0


def test_seconds_lost_against_a_simulation():
    """A slip in the fluid model that a claim rests on."""
    threads, well, ill, fault, rate, limit = 4, 0.04, 0.4, 3.0, 50.0, 0.25
    free, late = np.zeros(threads), []
    for now in np.arange(0, 12, 1 / rate):
        first = free.argmin()
        begin = max(now, free[first])
        free[first] = begin + (ill if 1 <= begin < 1 + fault else well)
        late.append(now >= 1 + fault and free[first] - now > limit)
    expected = lab.seconds_lost(fault, rate=rate, threads=threads, well=well, ill=ill, limit=limit)
    assert sum(late) / rate == pytest.approx(expected, rel=0.15)
    known = {"threads": threads, "well": well, "limit": limit}
    assert lab.seconds_lost(fault, rate=5, ill=0.4, **known) == 0.0
    assert lab.seconds_lost(fault, rate=100, ill=0.4, **known) == np.inf
