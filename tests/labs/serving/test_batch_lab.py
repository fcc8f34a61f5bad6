"""Helpers of the lab `serving/batch`: what it reads off, and the theory."""

import math
import time

import pandas as pd
import pytest

from lab_services.labs.serving import batch as lab

BAD = 28


def test_runs_are_at_work_at_once():
    """One that begins when another ends, or that left at once, counted as overlap."""
    rows = [(0.0, 1.0, "succeeded"), (1.0, 2.0, "failed"), (1.2, 1.2, "skipped")]
    runs = pd.DataFrame(rows, columns=["began", "ended", "status"])
    assert lab.most_at_once(runs) == 1
    runs.loc[1, "began"] = 0.9
    assert lab.most_at_once(runs) == 2
    assert lab.most_at_once(runs[runs["status"] == "skipped"]) == 0


def test_the_time_of_a_run_follows_from_two_numbers():
    """Parts that are shared unevenly taken for shared evenly; workers without a part."""
    cost = lab.part_cost(1000, {100: 0.31, 10: 1.3}, start=0.1)
    assert cost == pytest.approx((0.011, 0.0001))
    seconds = [lab.expected_seconds(1000, k, 2, cost, 0.1) for k in (10, 400, 1000)]
    assert seconds == pytest.approx([0.1 + 50 * 0.012, 0.1 + 0.051 + 0.031, 0.1 + 0.111])
    assert lab.amdahl(4, 0.1, cores=2) == lab.amdahl(2, 0.1, cores=2) < 2


def test_how_far_off_the_times_are():
    """Times that are too short and count as near; costs below nothing, of which one cannot say."""
    assert lab.farthest_off([1.0, 2.0], [1.0, 4.0]).value == 2.0
    for expected in (0.0, -1.0, math.nan):
        assert "noise" in lab.farthest_off([1.0, 2.0], [1.0, expected]).note


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
