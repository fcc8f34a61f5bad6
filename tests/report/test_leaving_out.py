"""Intervals by leaving out: of rounds, and of one long series."""

import math

import numpy as np
import pytest

from lab_services.report import leaving_out
from lab_services.report.bootstrap import Series


def gained(pair):
    return float(np.log(np.median(pair[0]) / np.median(pair[1])))


def related(random: np.random.Generator, size: int) -> Series:
    """Values of which each is like its neighbour: a random walk that is drawn back to 1."""
    found = np.empty(size)
    found[0] = random.normal()
    for i in range(1, size):
        found[i] = 0.9 * found[i - 1] + 0.44 * random.normal()
    return np.exp(0.3 * found)


@pytest.mark.parametrize("rounds", [1, 5])
def test_the_interval_holds_the_truth(rounds):
    """Requests of one queue taken as independent: the truth is then held in half of all cases."""
    random = np.random.default_rng(rounds)
    held = 0
    for _ in range(100):
        slow = np.exp(random.normal(scale=0.2, size=rounds))  # whole rounds, both arms alike
        arms = [[f * related(random, 1000 // rounds) for f in slow] for _ in range(2)]
        _, low, high = leaving_out.interval(arms, gained, 20)
        held += low <= 0 <= high
    assert held >= 90


def test_five_rounds_know_how_far_they_lie_apart():
    """An interval of thousands of requests, all of which met the same good moment."""
    random = np.random.default_rng(0)

    def arm(*medians):
        return [m * random.lognormal(sigma=0.01, size=1000) for m in medians]

    value, low, high = leaving_out.interval(
        [arm(2.0, 3.0, 2.0, 3.0, 2.0), arm(1, 1, 1, 1, 1)], gained, 20
    )
    assert value == pytest.approx(math.log(2.0**3 * 3.0**2) / 5, abs=0.01)  # the mean of the rounds
    assert low < math.log(2.1) < value < math.log(2.9) < high


@pytest.mark.parametrize("rounds", [2, 4])
def test_few_rounds_reach_over_what_each_gives(rounds):
    """A round in which it was the other way round, outvoted by the others."""
    arms = [[np.full(50, 2.0)] * (rounds - 1) + [np.full(50, 0.5)], [np.full(50, 1.0)] * rounds]
    _, low, high = leaving_out.interval(arms, gained, 20)
    assert low <= math.log(0.5) and high >= math.log(2)


def test_rounds_too_short_for_the_number_are_left_out_in_turn():
    """A p99 of which each round knows nothing, and so has no interval at all."""
    random = np.random.default_rng(0)
    rounds = [random.exponential(size=200) for _ in range(8)]

    def p99(one):
        return float(np.quantile(one[0], 0.99))

    value, low, high = leaving_out.interval([rounds], p99, 1000)
    assert value == p99([np.concatenate(rounds)])
    assert low < -math.log(0.01) < high


@pytest.mark.parametrize("lengths", [(30, 200), (200, 30)])
def test_the_same_places_are_left_out_of_series_of_any_length(lengths):
    """Half of the longer series never left out, so that its spread does not count."""
    arms = [[np.arange(n) / n] for n in lengths]  # both rise in the same way
    value, low, high = leaving_out.interval(arms, lambda s: float(s[0].mean() - s[1].mean()), 2)
    assert abs(value) < 0.02 and high - low < 0.02
    _, low, high = leaving_out.interval([arms[0]], lambda s: float(s[0].mean()), 2)
    assert high - low > 0.3


@pytest.mark.parametrize("series", [[[1.0]], [[]]])
def test_one_value_or_none_has_no_interval(series):
    """A traceback, or an interval of no width that looks certain."""
    found = leaving_out.interval([[np.array(s) for s in series]], lambda s: float(len(s[0])), 2)
    assert all(map(math.isnan, found))


@pytest.mark.parametrize("rounds", [2, 5])
def test_a_round_that_gives_no_number_is_not_passed_over(rounds):
    """The worst round left out of an interval, which then looks tight."""

    def rate(one):
        return math.log(one[0].mean()) if one[0].mean() > 0 else math.nan

    still = [np.full(50, 3.0)] * (rounds - 1) + [np.zeros(50)]
    assert all(map(math.isnan, leaving_out.interval([still], rate, 2)))
