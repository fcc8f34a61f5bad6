"""Helpers of the lab `serving/microservice-vertical`: what it reads off, and the theory."""

import numpy as np
import pandas as pd
import pytest

from lab_services.labs.serving import microservice_vertical as lab
from lab_services.models import build
from lab_services.report.stats import Interval
from lab_services.traffic.recording import Recording

# --- the stages ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paths():
    return build.ensure("rough", "good")


# --- what the lab works out ----------------------------------------------------------------------


def test_the_sum_of_independent_times_is_their_convolution():
    """A theory that is drawn over the points and is wrong."""
    random = np.random.default_rng(0)
    parts = [np.where(random.random(4000) < 0.1, 0.05, 0.002) for _ in range(3)]
    # 0.9^3 = 72.9 % have no delay, 97.2 % at most one.
    assert lab.independent(parts)(0.70) == pytest.approx(0.006, abs=0.001)
    assert lab.independent(parts)(0.80) == pytest.approx(0.054, abs=0.001)
    assert lab.independent(parts)(0.96) == pytest.approx(0.054, abs=0.001)
    assert lab.independent(parts)(0.985) == pytest.approx(0.102, abs=0.001)
    assert lab.together(parts, 0.95) == pytest.approx(0.150, abs=0.001)


def test_the_chain_is_held_to_the_sum_of_its_own_times():
    """A theory taken for certain, or one that every chain fulfils."""
    random = np.random.default_rng(0)
    times = {part: random.exponential(0.002, 2000) for part in lab.PARTS}
    alone = pd.DataFrame({p: t + 0.05 * (random.random(2000) < 0.12) for p, t in times.items()})
    alone["latency"] = alone.sum(axis=1)
    found = lab.of_independent(alone, 0.9)
    assert found.low < found.value < found.high and found.value == pytest.approx(1, abs=0.05)
    alike = pd.DataFrame(dict.fromkeys(lab.PARTS, alone["screen"]))
    alike["latency"] = alike.sum(axis=1)
    assert lab.of_independent(alike, 0.9).low > 1.5


def test_requests_are_joined_with_what_the_chain_noted():
    """Times of one request put to another."""
    sent = pd.DataFrame(
        {"request": ["b", "a"], "latency": [0.5, 0.4], "intended": [0.0, 1.0], "warmup": False}
    )
    noted = pd.DataFrame(
        {"screen": [0.1, 0.2], "forecast": [0.1, 0.1], "advice": [np.nan, 0.1]}, index=["a", "b"]
    )
    joined = lab.with_stages(Recording(sent, begin=0.0, seconds=1.0), noted)
    assert joined["screen"].tolist() == [0.2, 0.1]
    assert joined["rest"].tolist() == pytest.approx([0.1, 0.2])
    # The chain is not done with one of them: what is left of its latency is nobody's rest.
    joined = lab.with_stages(Recording(sent, begin=0.0, seconds=1.0), noted.drop("a"))
    assert joined["rest"].isna().tolist() == [False, True]


@pytest.mark.parametrize("links", [1, 2, 3])
def test_links_are_counted_from_what_was_answered(links):
    """An exponent that fits any product."""
    answered = {e: (round(100_000 * (1 - e) ** links), 100_000) for e in (0.1, 0.4)}
    found = lab.links(answered)
    assert found.value == pytest.approx(links, abs=0.01)
    assert found.low < links < found.high
    assert found.high - found.low < 0.05


def test_the_slowest_of_those_who_go_on():
    """A quantile of the wrong requests."""
    full = np.arange(1, 101) / 1000
    assert lab.expected_slow(full, 1.0, 0.9) == pytest.approx(0.09)
    assert lab.expected_slow(full, 0.5, 0.9) == pytest.approx(0.08)
    assert np.isnan(lab.expected_slow(full, 0.1, 0.9))


def test_ending_early_is_judged_by_the_flights(paths):
    """A loss where nothing ends early, or none where everything does."""
    from lab_services.models import payloads

    flights, late = payloads.flights(3000), np.array(payloads.outcomes(3000))
    judged = lab.Judged(flights, late)
    assert judged.goes_on(0.0) == 1 and judged.goes_on(1.0) == 0
    lost = judged.lost([0.0, 0.15, 1.0], draws=5)
    assert lost[0.0] == Interval(0.0, 0.0, 0.0, 3000)
    assert abs(lost[0.15].value) < abs(lost[1.0].value) < 0.1
    by_each = judged.lost_by_each(0.15, draws=5).value
    ended = 1 - judged.goes_on(0.15)
    assert by_each * ended * lost[1.0].value == pytest.approx(lost[0.15].value)
    assert judged.lost_by_each(1.0, draws=5) == Interval(1.0, 1.0, 1.0, 3000, "ratio")


def test_theory_of_nothing_is_unknown():
    """A curve over points that are not there, drawn from no time at all."""
    parts = [np.full(3, 0.1), np.empty(0)]
    assert np.isnan(lab.independent(parts)(0.9))
    assert np.isnan(lab.together(parts, 0.9))
    assert np.isnan(lab.expected_slow(np.empty(0), 1.0, 0.9))


def test_links_of_a_chain_that_answered_next_to_nobody():
    """A traceback where nobody was answered, or a number of links that any other explains too."""
    assert not lab.links({0.2: (0, 20)}).known
    found = lab.links({0.4: (1, 10_000)})
    assert 14 < found.low < found.value < found.high
    assert not lab.links({0.05: (1, 10_000)}).known
    assert lab.links({0.4: (20, 20)}).value == 0
