"""What a stack can do, measured in a moment: the unit of a lab's rates and times."""

import pytest

from lab_services import Scale, traffic
from lab_services.errors import LabError
from lab_services.report.stats import Interval
from tests.traffic.conftest import Service


def test_both_are_measured(service: Service) -> None:
    """A capacity of one caller; a service time in which others are waited for."""
    # It waits and does not work, so that callers do not stand in each other's way.
    scale = Scale.of(traffic.requests(service.url("/slow"), [None]), count=20, users=4)
    assert scale.service_time.unit == "s" and scale.capacity.unit == "requests/s"
    busy = scale.capacity.value * scale.service_time.value
    assert 2.5 < busy < 4.2  # callers who are served side by side
    for found in (scale.service_time, scale.capacity):
        assert found.known and 0 < found.low <= found.value <= found.high


def test_rates_and_times_are_shares_and_multiples() -> None:
    scale = Scale(Interval(0.01, 0.009, 0.011, 5, "s"), Interval(80.0, 75.0, 85.0, 5, "requests/s"))
    assert scale.rate(0.5) == 40
    assert scale.seconds(300, 0.5) == 7.5
    assert scale.times(10) == pytest.approx(0.1)


def test_a_stack_that_fails_has_no_scale(service: Service) -> None:
    """Refusals are quick: a stack that answers nothing would seem to bear the most."""
    with pytest.raises(LabError, match="not known: a request failed"):
        Scale.of(traffic.requests(service.url("/overloaded"), [None]), count=10, users=2)
    with pytest.raises(LabError, match="Give count=80 or more"):
        Scale.of(traffic.requests(service.url(), [None]), count=79, users=16)
