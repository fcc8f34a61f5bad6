"""Helpers of the lab `training/batch-training`: what it reads off, and the theory."""

import math

import numpy as np
import pandas as pd
import pytest

from lab_services.labs.training.batch_training import lab, months

# MLflow asks SQLAlchemy for what the next one will not have.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:sqlalchemy", "ignore::DeprecationWarning:mlflow"
)


def month(seed=0, rows=1000):
    """Flights whose lateness follows their hour, so that there is something to learn."""
    random = np.random.default_rng(seed)
    departs = random.integers(300, 1400, rows)
    return pd.DataFrame(
        {
            "carrier": random.choice(["B6", "9E"], rows),
            "origin": random.choice(["EWR", "JFK", "LGA"], rows),
            "destination": random.choice(["BOS", "SFO"], rows),
            "weekday": random.integers(1, 8, rows),
            "departs": departs,
            "distance": random.integers(100, 2500, rows),
            "temperature": random.normal(60, 10, rows),
            "humidity": random.uniform(20, 90, rows),
            "wind": random.uniform(0, 30, rows),
            "rain": 0.0,
            "visibility": 10.0,
            "late": random.random(rows) < departs / 3500,
        }
    )


def test_there_is_no_other_condition():
    """A misspelt condition that delivers a whole month."""
    with pytest.raises(ValueError, match="seperators"):
        months.delivery(month(), "seperators")


# --- scores -----------------------------------------------------------------------------------


def test_which_model_is_in_force():
    """A schedule that is scored with a model of its future."""
    assert [lab.in_force(m, 1) for m in range(2, 13)] == list(range(1, 12))
    assert [lab.in_force(m, 3) for m in (2, 4, 5, 7, 8)] == [1, 1, 4, 4, 7]
    assert {lab.in_force(m, 11) for m in range(2, 13)} == {1}


def test_ratios_are_paired():
    """Days that are hard for both models, taken for a difference between them."""
    days = np.random.default_rng(0).uniform(0.2, 1.0, 300)
    paired = lab.ratio(days * 1.1, days)
    assert paired.low == pytest.approx(1.1) and paired.high == pytest.approx(1.1)
    assert lab.share_kept(days * 2, days * 1.25, days).value == pytest.approx(0.75)


def test_the_delay_is_read_from_what_was_seen():
    """An alarm that is dated before its fault."""
    ages = [(10.0, 1.0), (11.0, 0.1), (12.0, 1.1), (13.0, 2.1), (14.0, 3.1)]
    assert lab.delay(ages, 11.5, 2.0) == 1.5


def test_what_nobody_looked_at_is_not_known():
    """A traceback where the alarm had gone off before the fault, or the watch was too slow."""
    ages = [(10.0, 0.5), (11.0, 1.5)]
    assert math.isnan(lab.delay(ages, 11.0, 1.0)), "no look after the fault"
    assert math.isnan(lab.delay(ages, 9.0, 2.0)), "none that saw such an age"
    assert lab.last_success(ages, 10.5) == 9.5
    assert math.isnan(lab.last_success(ages, 9.0))
    assert math.isnan(lab.last_success([], 9.0))
