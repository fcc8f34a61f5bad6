"""A number of some series, with its bootstrap interval."""

import numpy as np
import pytest

from lab_services import report


def ratio(series):
    return float(series[0].mean() / series[1].mean())


def test_pairs_cancel_what_they_have_in_common():
    """Days that are hard for both models, taken for a difference between them."""
    days = np.random.default_rng(0).uniform(0.2, 1.0, 300)
    paired = report.resampled(ratio, days * 1.1, days, unit="ratio")
    assert (paired.low, paired.high) == pytest.approx((1.1, 1.1))
    alone = report.resampled(ratio, days * 1.1, days, paired=False)
    assert alone.low < 1.05 and alone.high > 1.15
    longer = report.resampled(ratio, days, np.r_[days, days], paired=False)
    assert (longer.value, longer.n) == (pytest.approx(1), 300)
    with pytest.raises(ValueError, match="one length"):
        report.resampled(ratio, days, days[:-1])


def test_the_interval_holds_the_truth():
    """An interval that misses more often than it says."""
    random, held = np.random.default_rng(0), 0
    for _ in range(200):
        values = random.normal(size=60)
        found = report.resampled(lambda s: float(np.median(s[0])), values, draws=200)
        held += found.low <= 0 <= found.high
    assert 0.9 < held / 200 < 0.99


def test_blocks_widen_the_interval_of_what_is_alike():
    """Weeks of the same weather taken for so many independent days."""
    weeks = np.repeat(np.random.default_rng(0).normal(size=40), 7)
    mean = [report.resampled(lambda s: float(s[0].mean()), weeks, block=b) for b in (1, 7)]
    days, whole = (each.high - each.low for each in mean)
    assert whole > 2 * days


@pytest.mark.parametrize("n, block", [(0, 1), (1, 1), (6, 7)])
def test_too_few_values_are_unknown(n, block):
    """An interval of no width, or a traceback, of one request."""
    found = report.resampled(ratio, np.ones(n), np.ones(n), unit="ratio", block=block)
    assert not found.known and found.note.startswith(f"{n} values are too few")
    assert (found.n, found.unit) == (n, "ratio")


def test_what_most_samples_cannot_tell_is_unknown():
    """The samples that can be computed taken for all of them."""
    rare = np.r_[1.0, np.zeros(9)]
    assert not report.resampled(lambda s: 1 / s[0].sum() if s[0].any() else np.nan, rare).known


@pytest.mark.parametrize("n", [7, 10, 13])
def test_a_single_block_says_nothing_of_the_spread(n):
    """An interval of no width: every draw is the whole series, turned."""
    weeks = np.random.default_rng(1).normal(size=n)
    assert not report.resampled(lambda s: float(s[0].mean()), weeks, block=7).known
