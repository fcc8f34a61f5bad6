"""What a stack can do, measured in a moment: the unit of a lab's rates and times."""

import numpy as np
import pandas as pd
import pytest

from lab_services import Scale, scale, traffic
from lab_services.errors import LabError
from lab_services.report.stats import Interval
from lab_services.traffic.disturbance import NUMBERS, Disturbance
from tests.traffic.conftest import Service


@pytest.mark.alone
def test_both_are_measured(service: Service) -> None:
    """A capacity of one caller; one that is lowered by how the callers begin and end."""
    # Two are served at a time, each for 20 ms, so that a hundred a second are answered.
    found = Scale.of(traffic.requests(service.url("/two"), [None]))
    assert found.service_time.unit == "s" and found.capacity.unit == "requests/s"
    assert 0.019 < found.service_time.value < 0.03
    assert 80 < found.capacity.value < 101
    for each in (found.service_time, found.capacity):
        assert 0 < each.low <= each.value <= each.high


def test_callers_that_wait_for_nobody_show_no_capacity(service: Service) -> None:
    """A service that bears more than it was asked, whose callers were its bound."""
    found = Scale.of(traffic.requests(service.url("/slow"), [None]), count=20, users=4)
    assert "4 callers hardly wait for each other" in found.capacity.note
    assert "users=8" in found.capacity.note
    assert not found.service_time.note


def test_rates_and_times_are_shares_and_multiples() -> None:
    found = Scale(Interval(0.01, 0.009, 0.011, 5, "s"), Interval(80.0, 75.0, 85.0, 5, "requests/s"))
    assert found.rate(0.5) == 40
    assert found.seconds(300, 0.5) == 7.5
    assert found.times(10) == pytest.approx(0.1)


def test_a_stack_that_fails_has_no_scale(service: Service) -> None:
    """Refusals are quick: a stack that answers nothing would seem to bear the most."""
    with pytest.raises(LabError, match="not known: a request failed"):
        Scale.of(traffic.requests(service.url("/overloaded"), [None]), count=10, users=2)
    with pytest.raises(LabError, match="Give count=10 or more"):
        Scale.of(traffic.requests(service.url(), [None]), count=9)


@pytest.mark.parametrize(("disturbed", "asked", "noted"), [(1, 2, False), (9, 3, True)])
def test_what_was_disturbed_is_measured_again(
    disturbed: int, asked: int, noted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rates of a lab from a pilot in a noisy moment, and no word of it."""
    busy = pd.DataFrame({name: [0.0] for name in NUMBERS}).assign(culprit="make")
    busy = busy.assign(seconds=9.0, foreign=0.9)
    times = {1: 0, 4: 0}

    def closed_loop(requests: object, users: int, count: int, title: str) -> traffic.Recording:
        times[users] += 1
        started = np.arange(count) / 10
        table = pd.DataFrame({"intended": started, "started": started, "latency": 0.3})
        table = table.assign(response_time=0.3, ok=True, warmup=False)
        found = Disturbance(busy) if times[users] <= disturbed else Disturbance()
        return traffic.Recording(table, 0.0, count / 10, disturbance=found)

    monkeypatch.setattr(scale, "closed_loop", closed_loop)
    found = Scale.of([], count=20, users=4)
    assert times == {1: asked, 4: asked}
    assert [bool(each.note) for each in (found.service_time, found.capacity)] == [noted] * 2
    assert found.capacity.value == pytest.approx(10)


def test_answers_that_come_in_clumps_do_not_raise_the_capacity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mean of rates, of which that of a clump is hundreds of times as high as the capacity."""

    def closed_loop(requests: object, users: int, count: int, title: str) -> traffic.Recording:
        number = np.arange(count)
        # Seven at a time, which is ten a second, and within a thousandth of a second.
        started, took = number // 7 * 0.7, 0.3 + number % 7 / 7000
        table = pd.DataFrame({"intended": started, "started": started, "latency": took})
        return traffic.Recording(
            table.assign(response_time=took, ok=True, warmup=False), 0.0, count / 10
        )

    monkeypatch.setattr(scale, "closed_loop", closed_loop)
    found = Scale.of([], count=20, users=8).capacity
    assert found.value == pytest.approx(10, rel=0.5)  # three clumps, seen from first to last
    assert found.low <= 10 <= found.high
