"""Shares of counts and their difference."""

import numpy as np
import pandas as pd
import pytest

from lab_services import report


def test_published_intervals_are_met() -> None:
    """Another method than the one that is named: Newcombe 1998, table II, 56/70 less 48/80."""
    difference = report.proportions_differ(56, 70, 48, 80)
    assert difference.value == pytest.approx(0.2)
    assert (difference.low, difference.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_exact_interval_holds_the_ends() -> None:
    """An interval that ends beyond 0 or 1, or one of no width where every trial succeeds."""
    every, none = report.proportion(20, 20), report.proportion(0, 20)
    assert every.high == 1 and every.low == pytest.approx(0.025 ** (1 / 20))
    assert none.low == 0 and none.high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert str(report.proportion(50, 100)).startswith("50 %")


def test_a_share_is_that_of_the_true_ones() -> None:
    """Objects of pandas that are not counted as truth values; a division where there is none."""
    assert report.share(pd.Series([True, False, True, True], dtype=object)) == report.proportion(
        3, 4
    )
    assert not report.share([]).known
    assert not report.share([1.0, float("nan")]).known, "unknown, and no hit"


def test_hits_that_come_in_clumps_count_as_few() -> None:
    """Forty clumps of ten taken as four hundred: an interval three times too narrow."""
    clumps = np.repeat(np.random.default_rng(0).random(40) < 0.3, 10)
    plain, found = report.share(clumps), report.share(clumps, dependent=True)
    assert found.value == plain.value and found.n == plain.n == 400
    assert found.high - found.low > 2 * (plain.high - plain.low)
    every = report.share([True] * 30, dependent=True)
    assert every.low == pytest.approx(report.share([True] * 30).low) and every.high == 1
    assert not report.share([], dependent=True).known


@pytest.mark.parametrize(("hits", "of"), [(3, 2), (-1, 2), (1, 0)])
def test_what_is_no_share_is_refused(hits: int, of: int) -> None:
    """Counts in the wrong order, which would give an interval of nonsense."""
    with pytest.raises(ValueError, match="no share"):
        report.proportion(hits, of)
    with pytest.raises(ValueError, match="no share"):
        report.proportions_differ(1, 2, hits, of)
