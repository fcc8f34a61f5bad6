"""Means and ratios of a handful of rounds."""

import numpy as np
import pytest

from lab_services import report


def test_the_mean_has_students_interval() -> None:
    """A normal interval, which is far too narrow for three values."""
    mean = report.t_interval([1.0, 2.0, 3.0], "s")
    assert (mean.value, mean.n, mean.unit) == (2.0, 3, "s")
    assert (mean.low, mean.high) == pytest.approx((2 - 2.484, 2 + 2.484), abs=1e-3)


def test_one_round_has_no_interval() -> None:
    """A warning about a division by zero in place of a number; a claim that one value decides."""
    mean = report.t_interval([0.5], "s", least=0)
    assert (mean.value, mean.low, mean.high) == (0.5, 0, np.inf)
    assert "no interval" in mean.note


def test_a_mean_is_as_sure_as_its_values_are_independent() -> None:
    """Neighbours in one queue taken as so many independent answers."""
    random = np.random.default_rng(0)
    free = random.random(400)
    walk = np.convolve(random.random(449), np.ones(50), "valid")
    alike = (walk - walk.mean()) / walk.std() * free.std() + 0.5
    sure, unsure = (report.t_interval(v, "s", dependent=True) for v in (free, alike))
    assert 0.05 < sure.high - sure.low < 0.07
    assert unsure.high - unsure.low > 3 * (sure.high - sure.low)
    assert report.t_interval(alike).high < unsure.high
    shares = report.t_interval([0.0, 1.0], "share", least=0, most=1, dependent=True)
    assert (shares.low, shares.high) == (0, 1)


def test_a_mean_ends_at_what_is_possible() -> None:
    """Fewer than no jobs, in a chart."""
    assert report.t_interval(np.array([0, 0, 3]), "jobs").low < 0
    counted = report.t_interval(np.array([0, 0, 3]), "jobs", least=0)
    assert (counted.low, counted.value) == (0, 1)


def test_of_many_values_students_interval_is_the_bootstraps() -> None:
    """An interval for latencies, which are skewed, that is narrower than they allow."""
    values = np.random.default_rng(0).exponential(0.01, 500)
    mean = report.t_interval(values, "s")
    drawn = np.random.default_rng(1).choice(values, (2000, 500)).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert mean.high - mean.low == pytest.approx(high - low, rel=0.1)


def test_what_slows_a_whole_round_cancels() -> None:
    """Rounds that differ between themselves taken for noise of the comparison."""
    ratio = report.paired_ratio([2.0, 4.0, 20.0], [1.0, 2.0, 10.0])
    assert ratio.unit == "ratio"
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((2.0, 2.0, 2.0))


def test_the_ratio_is_a_geometric_mean() -> None:
    """A against B and B against A that do not agree."""
    one, other = (
        report.paired_ratio([1.0, 4.0], [1.0, 1.0]),
        report.paired_ratio([1.0, 1.0], [1.0, 4.0]),
    )
    assert one.value == pytest.approx(2.0)
    assert one.value * other.value == pytest.approx(1.0)
    assert one.low * other.high == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([], [], "0 rounds"),
        ([1.0], [1.0], "1 rounds"),
        ([1.0, 0.0], [1.0, 1.0], "not above 0"),
        ([1.0, np.nan], [1.0, 1.0], "1 of 4 values not known"),
    ],
)
def test_what_cannot_be_compared_is_not_known(a, b, said) -> None:
    """One round that ends a lab; the logarithm of nothing, with a warning; a nan without a word."""
    found = report.paired_ratio(a, b)
    assert (found.known, found.unit) == (False, "ratio") and said in found.note


def test_the_interval_of_a_geometric_mean_is_that_of_the_logarithms() -> None:
    """A time to drain below 0; one round that looks certain."""
    times = [1.0, 2.0, 4.0]
    found, logs = report.geometric_mean(times, "s"), report.t_interval(np.log(times))
    assert (found.value, found.unit, found.n) == (pytest.approx(2.0), "s", 3)
    assert (np.log(found.low), np.log(found.high)) == pytest.approx((logs.low, logs.high))
    one = report.geometric_mean([3.0], "s")
    assert (one.low, one.high) == (0, np.inf) and "no interval" in one.note


@pytest.mark.parametrize(
    ("values", "said"), [([], "nothing"), ([1.0, 0.0], "not above 0"), ([1.0, np.nan], "1 of 2")]
)
def test_a_geometric_mean_that_is_not_known(values, said) -> None:
    """The logarithm of nothing; a mean of the rounds that went well."""
    found = report.geometric_mean(values, "s")
    assert (found.known, found.unit) == (False, "s") and said in found.note


def test_rounds_without_a_partner_are_refused() -> None:
    """A round of one compared with another round of the other."""
    with pytest.raises(ValueError, match="two values a round"):
        report.paired_ratio([1.0, 2.0], [1.0])


def test_a_mean_of_what_is_not_known_is_not_known() -> None:
    """A mean of the rounds that went well."""
    assert "nothing was measured" in report.t_interval([], "s").note
    assert "1 of 2 values" in report.t_interval([1.0, np.nan], "s").note
