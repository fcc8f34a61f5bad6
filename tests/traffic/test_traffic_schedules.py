"""Schedules: the right number of arrivals at the right times, and the same ones again."""

import doctest
import math

import numpy as np
import pytest

from lab_services import traffic
from lab_services.errors import LabError

RANDOM = [
    lambda seed: traffic.poisson(200, 20, seed=seed),
    lambda seed: traffic.steps([(50, 10), (0, 5), (300, 10)], seed=seed),
    lambda seed: traffic.ramp(10, 300, 20, seed=seed),
    lambda seed: traffic.bursts(50, 400, every=5, length=1, seconds=23, seed=seed),
]


def arrivals(schedule, begin, end):
    return int(((schedule.offsets >= begin) & (schedule.offsets < end)).sum())


def fits(count, expected):
    """Within five standard deviations of a Poisson count: false once in two million draws."""
    return abs(count - expected) <= 5 * math.sqrt(expected)


@pytest.mark.parametrize(("rate", "seconds", "count"), [(100, 5, 500), (100, 0.07, 7), (3, 0.5, 2)])
def test_constant_sends_rate_times_seconds(rate, seconds, count):
    """Floating point must not add an arrival, nor may the first one be missing."""
    schedule = traffic.constant(rate, seconds)
    assert len(schedule) == count
    assert schedule.offsets[0] == 0
    assert np.allclose(np.diff(schedule.offsets), 1 / rate)
    assert schedule.offsets[-1] < seconds


@pytest.mark.parametrize("make", RANDOM)
def test_a_seed_fixes_every_byte(make):
    """A lab that is run again must meet the same arrivals; another seed must not."""
    assert make(3).offsets.tobytes() == make(3).offsets.tobytes()
    assert make(3).offsets.tobytes() != make(4).offsets.tobytes()


@pytest.mark.parametrize("make", RANDOM)
def test_arrivals_are_sorted_and_inside(make):
    schedule = make(0)
    assert (np.diff(schedule.offsets) >= 0).all()
    assert schedule.offsets[0] >= 0
    assert schedule.offsets[-1] < schedule.seconds


def test_poisson_gaps_are_exponential():
    """A schedule with even gaps would hide the queues that real clients make."""
    gaps = np.diff(traffic.poisson(500, 40).offsets)
    assert fits(len(gaps), 20_000)
    assert abs(gaps.std() / gaps.mean() - 1) < 0.05
    assert abs((gaps > 2 / 500).mean() - math.exp(-2)) < 0.02


def test_steps_have_their_rates():
    """A pause must be empty, and the step after it at its full rate."""
    schedule = traffic.steps([(0, 2), (50, 10), (0, 5), (300, 10)])
    assert schedule.seconds == 27
    assert arrivals(schedule, 0, 2) == 0
    assert fits(arrivals(schedule, 2, 12), 500)
    assert arrivals(schedule, 12, 17) == 0
    assert fits(arrivals(schedule, 17, 27), 3000)


@pytest.mark.parametrize(("start", "end"), [(0, 200), (200, 0), (100, 100), (20, 180)])
def test_ramp_rises_evenly(start, end):
    schedule = traffic.ramp(start, end, 40)
    middle = (start + end) / 2
    assert fits(arrivals(schedule, 0, 20), 20 * (start + middle) / 2)
    assert fits(arrivals(schedule, 20, 40), 20 * (middle + end) / 2)


def test_bursts_end_their_period():
    schedule = traffic.bursts(20, 400, every=10, length=2, seconds=25)
    assert schedule.seconds == 25
    assert fits(arrivals(schedule, 0, 8), 160)
    assert fits(arrivals(schedule, 8, 10), 800)
    assert fits(arrivals(schedule, 18, 20), 800)
    assert fits(arrivals(schedule, 20, 25), 100)


def test_schedules_are_appended():
    whole = traffic.constant(10, 2) + traffic.constant(100, 1)
    assert whole.seconds == 3
    assert len(whole) == 120
    assert whole.rate == 40
    assert whole.offsets[20] == 2.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: traffic.constant(-1, 5),
        lambda: traffic.constant(0, 5),
        lambda: traffic.constant(10, 0),
        lambda: traffic.poisson(math.nan, 5),
        lambda: traffic.poisson(math.inf, 5),
        lambda: traffic.steps([]),
        lambda: traffic.steps([(0, 5)]),
        lambda: traffic.steps([(10, -5)]),
        lambda: traffic.steps([(-10, 5)]),
        lambda: traffic.ramp(0, 0, 5),
        lambda: traffic.ramp(-1, 10, 5),
        lambda: traffic.bursts(1, 10, every=2, length=2, seconds=10),
        lambda: traffic.bursts(-1, 10, every=2, length=1, seconds=10),
    ],
)
def test_nonsense_is_refused_with_a_hint(make):
    with pytest.raises(LabError) as caught:
        make()
    assert caught.value.hint


@pytest.mark.parametrize("name", ["Schedule", "constant", "poisson", "steps", "ramp", "bursts"])
def test_the_examples_are_true(name):
    """A typed-in number of arrivals in a docstring would soon be a wrong one."""
    found = doctest.DocTestFinder(recurse=False).find(
        getattr(traffic, name), name, globs={"traffic": traffic}
    )
    assert found[0].examples
    for test in found:
        assert doctest.DocTestRunner().run(test).failed == 0
