"""Helpers of the lab `serving/batch`: what it reads off, and the theory."""

import math
import time

import numpy as np
import pandas as pd
import pytest

from lab_services.labs.serving import batch as lab

BAD = 28


def test_runs_are_at_work_at_once():
    """One that begins when another ends, or that waits for the lock, counted as overlap."""
    rows = [(1, 0.5, 0.5), (1, 1.0, 0.5), (2, 1.5, 0.5), (2, 2.0, 0.5)]
    parts = pd.DataFrame(rows, columns=["run", "at", "seconds"])
    assert lab.most_at_once(parts) == 1
    parts.loc[2, "seconds"] = 0.6
    assert lab.most_at_once(parts) == 2
    assert lab.most_at_once(parts[:0]) == 0


def test_the_time_of_a_run_follows_from_two_numbers():
    """Parts that are shared unevenly taken for shared evenly; workers without a part."""
    cost = lab.part_cost(1000, {100: 0.31, 10: 1.3}, start=0.1)
    assert cost == pytest.approx((0.011, 0.0001))
    seconds = [lab.expected_seconds(1000, k, 2, cost, 0.1) for k in (10, 400, 1000)]
    assert seconds == pytest.approx([0.1 + 50 * 0.012, 0.1 + 0.051 + 0.031, 0.1 + 0.111])
    assert lab.amdahl(4, 0.1, cores=2) == lab.amdahl(2, 0.1, cores=2) < 2


def test_how_far_off_the_times_are():
    """Times that are too short and count as near; costs below nothing, of which one cannot say."""
    starts, one = [0.1, 0.1], {10: [1.3, 1.3], 100: [0.31, 0.31]}
    due = lab.expected_seconds(1000, 100, 2, lab.part_cost(1000, {10: 1.3, 100: 0.31}, 0.1), 0.1)
    for took in (due / 2, 2 * due):
        off = lab.farthest_off(1000, one, {100: [took, took]}, starts, cores=2)
        assert (off.low, off.high) == pytest.approx((2.0, 2.0))
    negative = {10: [0.31, 0.31], 100: [0.5, 0.5]}
    off = lab.farthest_off(1000, negative, {1: [0.2, 0.2]}, [0.0, 0.0], cores=2)
    assert not off.known and "cannot be computed" in off.note


def test_the_steps_of_a_night_are_those_of_its_own_parts():
    """A step of the night after it, or one from a part to a part that was written before."""
    rows = [(1, 0, 1, 14.0), (1, 0, 1, 11.0), (2, 2, 3, 21.0)]
    parts = pd.DataFrame(rows, columns=["night", "first", "last", "at"]).assign(flights=2)
    assert lab.night_of(parts, 1, 10.0, flights=4).steps.tolist() == [1.0, 3.0]


def test_the_planned_wait_is_not_drawn():
    """An interval as wide as if the row might be mended never, or twice."""
    waited = np.zeros(1)
    one, other = (lab.Night(0, waited, np.array([5.0] + [1.0] * n)) for n in (45, 20))
    ratio = lab.finish_ratio(one, other)
    assert (ratio.low, ratio.high) == pytest.approx((2.0, 2.0))


def test_what_workers_gain_is_held_against_the_law():
    """A law of other workers than those measured, or one without the start of a run."""
    seconds, starts = {1: [1.0, 2.0], 2: [0.6, 1.2], 4: [0.6, 1.2]}, [0.2, 0.4]
    found = lab.over_amdahl(seconds, starts, cores=2, few=1, many=2)
    assert (found.low, found.high) == pytest.approx((1.0, 1.0))  # 1 / (0.2 + 0.8 / 2)
    assert lab.over_amdahl(seconds, starts, cores=2, few=2, many=4).value == pytest.approx(1.0)
    on_four = lab.over_amdahl(seconds, starts, cores=4, few=2, many=4)
    assert on_four.value == pytest.approx(0.4 / 0.6)


def test_a_crossover_there_is_only_between_a_start_and_a_saving():
    """Fewer than no predictions a day, a division by what a row saves, or a nan to be rounded."""
    assert lab.crossover(2.0, 0.001, 0.005).value == 500
    assert "cheaper" in lab.crossover(2.0, 0.005, 0.005).note
    assert "cheaper" in lab.crossover(2.0, math.nan, 0.005).note
    assert "no start" in lab.crossover(-0.1, 0.001, 0.005).note


def test_freshness_rises_anew_each_night():
    """A night that begins with the last one's predictions, or a rerun that makes them stale."""
    rows = [(1, 0, 1, 11.0), (1, 2, 3, 12.0), (2, 0, 1, 21.0), (2, 0, 1, 23.0)]
    parts = pd.DataFrame(rows, columns=["night", "first", "last", "at"])
    began = pd.Series({1: 10.0, 2: 20.0})
    at, shares = lab.freshness(parts, began, flights=4)
    assert at.tolist() == [0, 1, 1, 2, 2, 10, 10, 10, 11, 11, 13, 13]
    known = [0, 0.25, 0.5, 0.75, 1, 1, math.nan, 0, 0.25, 0.5, 0.5, math.nan]
    assert shares.tolist() == pytest.approx(known, nan_ok=True)
    # Of a night in which nothing was written, nothing is fresh.
    later = pd.Series({1: 10.0, 2: 20.0, 3: 22.0})
    assert lab.freshness(parts, later, flights=4)[1][-3:].tolist()[:2] == [0, 0]


class Slow:
    """Controls of a machine on which a night takes longer than from one to the next."""

    def __init__(self, takes):
        self.takes, self.bad, self.nights = takes, False, []

    def schedule(self, every, firings, **order):
        self.nights.append(time.time())
        return self.nights[-1]

    def wait_for(self, runs, since):
        time.sleep(self.takes)
        (began,) = [night for night in self.nights if night > since]
        status = "failed" if self.bad else "succeeded"
        night = {"night": len(self.nights), "began": began, "ended": time.time(), "status": status}
        return pd.DataFrame([night])

    def run(self, **order):
        time.sleep(self.takes)

    def spoil(self, flight):
        self.bad = True

    def mend(self):
        self.bad = False


def test_a_slow_night_is_not_taken_for_the_next():
    """A rerun that is still at work when the next night is due, and is judged in its place."""
    reruns = ["healthy", "everything", "wait", "healthy"]
    told = lab.nights(Slow(takes=0.1), reruns, every=0.05, bad=BAD, mend_after=0.01, chunk=10)
    assert told["rerun"].tolist() == reruns
    assert told["night"].tolist() == [1, 2, 3, 4]
    assert told["failed"].notna().tolist() == [False, True, True, False]
    assert (told["began"].diff().dropna() >= 0.1).all()
