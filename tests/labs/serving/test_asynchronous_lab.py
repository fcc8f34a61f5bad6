"""Helpers of the lab `serving/asynchronous`: what it reads off, and the theory."""

import numpy as np
import pandas as pd
import pytest

from lab_services.labs.serving import asynchronous as lab
from lab_services.report import Interval


def test_a_rate_over_no_time_is_not_known():
    """A rollout that outlasts the traffic: a rate below nothing, or a division by it."""
    moments = pd.Series([1.0, 2.0, 3.0])
    assert lab.rate(moments, 0.0, 4.0).value == 0.75
    for end in (5.0, 4.0):
        assert "before it could be measured" in lab.rate(moments, 5.0, end).note


def worked(queued, finished):
    jobs = pd.DataFrame({"queued": queued, "finished": finished, "again": False})
    return jobs.astype({"queued": float, "finished": float})


def test_the_queue_grows_by_what_comes_less_what_is_done():
    """Arrivals or finishes outside of the time counted, or a slope that falls upwards."""
    queued = np.arange(0, 1, 0.01)
    done = worked(queued, 0.005 + np.arange(100) * 0.02)
    growing = lab.slope(done, 0.0, 1.0)
    assert growing.value == pytest.approx(50)
    assert (growing.low, growing.high) == pytest.approx((50, 50))
    assert not lab.slope(done, 1.0, 1.9).known


def test_a_queue_has_drained_when_one_job_is_left():
    """A drain that ends with the traffic, or that is as sure as a count."""
    done = worked(np.full(41, -1.0), np.arange(41) * 0.04 + 0.04)
    drain = lab.drain_seconds(done, 0.0)
    assert (drain.low, drain.value, drain.high) == pytest.approx((1.6, 1.6, 1.6))
    uneven = worked(np.full(41, -1.0), np.cumsum([0.02, 0.06] * 20 + [0.04]))
    drain = lab.drain_seconds(uneven, 0.0)
    assert drain.value == pytest.approx(1.6) and drain.low < 1.5 and drain.high > 1.7
    assert lab.drain_seconds(done, 2.0).note.startswith("no job was waiting")


def test_a_capacity_has_the_ends_of_its_service_time_turned_round():
    """The slow end of a time taken for the low end of a rate."""
    found = lab.capacity(Interval(0.1, 0.08, 0.2, 9, "s"))
    assert (found.low, found.value, found.high) == pytest.approx((5, 10, 12.5))
    assert found.unit == "jobs/s"


def test_rates_are_steps_that_hold_every_event():
    """A job that is counted in two steps or in none, or a step that looks like a slope."""
    at, rates = lab.rates(pd.Series([10.1, 10.2, 10.6, 11.0]), 10.0, 1.0, every=0.5)
    assert at.tolist() == [0, 0.5, 0.5, 1.0]
    assert rates.tolist() == [4, 4, 4, 4]
    at, rates = lab.rates([], 10.0, 1.1, every=0.5)
    assert at[-1] == 1.0 and not rates.any()  # the last step is not whole


def test_the_poison_line_against_a_simulation():
    """A formula that looks right."""
    offered, share, capacity, again = 50.0, 0.25, 100.0, 0.3
    pending, step = 0.0, 0.0005
    for at in np.arange(0, 4, step):
        new = min(offered, capacity - pending / again)
        useful = (1 - share) * new
        if at in (0.5, 1.0, 2.0, 3.5):
            expected = lab.useful_under_poison(at, offered, share, capacity, again)
            assert expected == pytest.approx(useful, rel=0.02)
        pending += share * new * step
    assert lab.useful_under_poison(9, offered, 0, capacity, again) == offered
    with pytest.raises(ValueError, match="stable"):
        lab.useful_under_poison(1, 200, share, capacity, again)
