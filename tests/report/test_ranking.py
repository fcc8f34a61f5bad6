"""AUC, and what is lost of it."""

import numpy as np
import pytest
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


def test_what_is_lost_lies_in_its_interval():
    """An interval that does not hold its value, or that is drawn for each model by itself."""
    lost = report.auc_lost(LATE, SURE, NONE, draws=20)
    assert lost.value == pytest.approx(0.5)
    assert lost.low <= lost.value <= lost.high
    same = report.auc_lost(LATE, SURE, SURE, draws=20)
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_flights_of_one_kind_have_no_auc():
    """A number, or a search without end, where nothing can be told apart."""
    with pytest.raises(ValueError, match="late and punctual"):
        report.auc(np.ones(3, dtype=bool), NONE[:3])
    with pytest.raises(ValueError, match="late and punctual"):
        report.auc_lost(np.zeros(3, dtype=bool), NONE[:3], NONE[:3])
