"""AUC, and what is lost of it."""

import numpy as np
import pytest
from scipy import stats as distributions
from sklearn.metrics import roc_auc_score

from lab_services import report

LATE = np.array([True, False, True, False] * 50)
SURE, NONE = LATE.astype(float), np.zeros(200)


def test_auc_is_that_of_scikit_learn():
    """Ties that count for one side, or late and punctual flights confused."""
    random = np.random.default_rng(0)
    late = random.random(500) < 0.3
    for said in (random.random(500), random.integers(0, 5, 500) / 5, late + random.random(500)):
        assert report.auc(late, said) == pytest.approx(roc_auc_score(late, said))
    assert (report.auc(LATE, SURE), report.auc(LATE, NONE)) == (1.0, 0.5)


def test_the_interval_of_an_auc_shrinks_with_flights():
    """An interval of guessing that does not hold a half, or one that does not know how many."""
    few = report.auc_interval(np.arange(100) < 50, NONE[:100])
    many = report.auc_interval(np.arange(10_000) < 5000, np.zeros(10_000))
    # Of 50 and 50 the standard error of guessing is sqrt(101 / (12 * 2500)).
    assert few.high - 0.5 == pytest.approx(1.96 * (101 / 30_000) ** 0.5, rel=0.01)
    assert many.low > few.low and many.high < few.high
    assert "both late and punctual" in report.auc_interval(np.ones(5, dtype=bool), NONE[:5]).note
    perfect = report.auc_interval(LATE, LATE.astype(float))
    assert (perfect.value, perfect.low) == (1, 1)


def test_the_interval_of_an_auc_holds_the_true_one():
    """An interval that misses more often than it says."""
    random = np.random.default_rng(0)
    true = distributions.norm.cdf(1 / 2**0.5)
    held = 0
    for _ in range(200):
        late = random.random(300) < 0.3
        found = report.auc_interval(late, random.normal(late.astype(float), 1.0))
        held += found.low <= true <= found.high
    assert held / 200 > 0.89


def test_what_is_lost_lies_in_its_interval():
    """An interval that does not hold its value, or that is drawn for each model by itself."""
    lost = report.auc_difference(LATE, SURE, NONE, draws=20)
    assert lost.value == pytest.approx(0.5)
    assert lost.low <= lost.value <= lost.high
    same = report.auc_difference(LATE, SURE, SURE, draws=20)
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_flights_of_one_kind_have_no_auc():
    """A number, or a search without end, where nothing can be told apart."""
    assert np.isnan(report.auc(np.ones(3, dtype=bool), NONE[:3]))
    lost = report.auc_difference(np.zeros(3, dtype=bool), NONE[:3], NONE[:3])
    assert "late and punctual" in lost.note
    unsure = np.array([np.nan, 0.2, 0.1])
    assert "a chance is not known" in report.auc_interval(np.arange(3) < 1, unsure).note
