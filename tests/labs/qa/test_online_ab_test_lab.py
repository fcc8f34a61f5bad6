"""Helpers of the lab `qa/online-ab-test`: what it reads off, and the theory."""

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportions_ztest

from lab_services.labs.qa import online_ab_test as lab

# --- replays -------------------------------------------------------------------------------------


@pytest.fixture
def random():
    return np.random.default_rng(5)


@pytest.fixture
def rights(random):
    """What two models got right: B leads by 10 points."""
    return random.random(20_000) < 0.5, random.random(20_000) < 0.6


def test_dealt_counts_grow_and_keep_the_share(rights, random):
    """Counts per day where counts up to that day are meant."""
    counts = lab.deal(rights[1], 200, 5, 100, random)
    assert counts.shape == (200, 5)
    assert (np.diff(counts, axis=1) >= 0).all()
    assert (counts / (100 * np.arange(1, 6))).mean(axis=0) == pytest.approx(0.6, abs=0.02)


def test_z_is_that_of_statsmodels():
    """A formula with a slip in it."""
    expected, _ = proportions_ztest([60, 45], [100, 110])
    assert lab.z_scores(*map(np.array, (60, 100, 45, 110))) == pytest.approx(expected)
    assert lab.z_scores(*map(np.array, ([0], [10], [0], [10]))) == 0


def test_repeated_looks_are_those_of_the_published_table():
    """Armitage, McPherson and Rowe 1969, table 2: 1, 2, 5, 10 and 20 looks at 5 %."""
    by_look = lab.false_alarms(np.full(20, 1.959964))
    published = [0.05, 0.083, 0.142, 0.193, 0.248]
    assert by_look[[0, 1, 4, 9, 19]] == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize(("looks", "constant"), [(2, 1.977), (5, 2.040), (10, 2.087)])
def test_bounds_are_the_published_ones(looks, constant):
    """O'Brien and Fleming's constants, Jennison and Turnbull 2000, table 2.3."""
    bounds = lab.obrien_fleming(looks)
    assert bounds[-1] == pytest.approx(constant, abs=2e-3)
    assert bounds[0] == pytest.approx(constant * math.sqrt(looks), abs=5e-3)


def test_the_always_valid_rule_needs_more_than_a_single_test():
    """A rule that is as quick as the naive one."""
    variance = np.full(3, 0.05**2)
    assert lab.always_valid(np.array([0.0, 2.0, 5.0]), variance, 0.05).tolist() == [0, 0, 1]


def test_the_first_day_counts_from_one():
    """A test that never stops and one that stops on the first day, taken for the same."""
    crossed = np.array([[True, False, True], [False, False, True], [False, False, False]])
    assert lab.first_day(crossed).tolist() == [1, 3, 0]


def test_only_tests_that_stop_have_taken_time():
    """Tests that go on counted as if they had stopped at once; a mean of none."""
    assert lab.days_taken(np.array([0, 2, 4])) == 3
    assert lab.travellers_taken(np.array([0, 2, 9, 4])) == 4
    for taken in (lab.days_taken, lab.travellers_taken):
        assert math.isnan(taken(np.zeros(3, dtype=np.int64)))


@pytest.mark.parametrize("flights", [1, 4])
def test_split_by_chance_leaves_one_part_of_the_lead(rights, random, flights):
    """An effect that survives because the first arm is taken for all requests."""
    b, of_b, a, of_a = lab.per_request(*rights, flights, 200_000 // flights, random)  # type: ignore[call-arg]
    assert of_a + of_b == 200_000
    true = rights[1].mean() - rights[0].mean()
    assert b / of_b - a / of_a == pytest.approx(true / flights, abs=0.012)


def test_the_bandit_finds_the_better_one_and_waits_for_outcomes(rights, random):
    """A bandit that knows an outcome before it has happened."""
    to_a, right_of_a, to_b, right_of_b = lab.thompson(*rights, 50, 20, 50, random, delay=5)  # type: ignore[call-arg, misc]
    assert (to_a + to_b == 50 * np.arange(1, 21)).all()
    assert (right_of_a <= to_a).all() and (right_of_b <= to_b).all()
    assert to_b[:, 4].mean() / 250 == pytest.approx(0.5, abs=0.05), "nothing is known for 5 days"
    assert (to_b[:, -1] - to_b[:, 4]).mean() / 750 > 0.8


def test_the_replayed_guardrail_is_the_real_one(random):
    """Replays of another rule than the one that runs."""
    harmed, stopped = lab.harmed_until_stop(0.2, 0.3, 0.0, 0.001, 50, 1000, random)
    assert (harmed == lab.failures_needed(0.2, 0.001)).all()
    assert (stopped > 0).all()
    harmed, stopped = lab.harmed_until_stop(0.2, 0.01, 0.01, 0.001, 200, 2000, random)
    assert (stopped > 0).mean() <= 0.01
