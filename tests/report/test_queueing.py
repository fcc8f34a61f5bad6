"""Queueing theory, against textbook values and against a simulation."""

import heapq
import math

import numpy as np
import pytest

from lab_services.report.queueing import Fluid, Queue, erlang_c, lindley


@pytest.mark.parametrize(
    ("servers", "load", "share"),
    [
        (1, 0.7, 0.7),  # one worker: the share of waiting is the load
        (2, 1.5, 9 / 14),
        (3, 2.0, 4 / 9),
        (5, 4.0, 0.5541),
        (10, 8.0, 0.4092),
        (2, 0.0, 0.0),
        (2, 2.0, 1.0),
        (2, 5.0, 1.0),
    ],
)
def test_erlang_c_of_the_tables(servers, load, share):
    """A slip in the formula that the whole chapter rests on."""
    assert erlang_c(servers, load) == pytest.approx(share, abs=1e-4)


def test_many_workers_do_not_overflow():
    """Factorials of a thousand."""
    assert 0 < erlang_c(1000, 950) < 0.2


def test_one_worker_in_closed_form():
    """M/M/1: mean latency 1 / (mu - lambda), and quantiles of the same exponential."""
    queue = Queue(1, service=0.01)
    assert queue.saturation == pytest.approx(100)
    assert queue.utilisation(80) == pytest.approx(0.8)
    assert queue.mean_latency(80) == pytest.approx(1 / 20)
    assert queue.latency_quantile(0.99, 80) == pytest.approx(math.log(100) / 20, rel=1e-3)
    assert queue.wait_quantile(0.99, 80) == pytest.approx(math.log(80) / 20)
    assert queue.wait_quantile(0.1, 80) == 0


def test_constant_service_halves_the_wait():
    """Pollaczek and Khinchine: M/D/1 waits half as long as M/M/1."""
    constant = Queue(1, service=0.01, service_scv=0)
    assert constant.mean_wait(80) == pytest.approx(Queue(1, service=0.01).mean_wait(80) / 2)


def test_nothing_waits_without_load():
    """A latency that is not the service time on an idle machine."""
    idle = Queue(4, service=0.01, service_scv=0, overhead=0.002)
    assert idle.latency_quantile(0.99, 0) == pytest.approx(0.012)
    assert Queue(1, 0.01).latency_quantile(0.5, 0) == pytest.approx(0.01 * math.log(2), rel=1e-3)


def test_beyond_saturation_there_is_no_steady_state():
    """A finite latency where the queue grows without end."""
    queue = Queue(2, service=0.01)
    for rate in (200, 300):
        assert math.isinf(queue.mean_wait(rate))
        assert math.isinf(queue.wait_quantile(0.5, rate))
        assert math.isinf(queue.latency_quantile(0.5, rate))
    assert queue.backlog_wait(300, 10) == pytest.approx(5)
    assert queue.backlog_wait(100, 10) == 0


@pytest.mark.parametrize(
    ("servers", "scv", "utilisation"), [(1, 0.25, 0.7), (2, 1.0, 0.8), (4, 0.25, 0.85)]
)
def test_simulation_agrees(servers, scv, utilisation):
    """A theory that real queues do not follow: p90 and mean within the approximation's error."""
    service = 0.01
    queue = Queue(servers, service, service_scv=scv)
    rate = utilisation * queue.saturation
    random = np.random.default_rng(1)
    n = 150_000
    arrivals = np.cumsum(random.exponential(1 / rate, n))
    times = random.gamma(1 / scv, service * scv, n)
    free = [0.0] * servers
    latency = np.empty(n)
    for i in range(n):
        begin = max(heapq.heappop(free), arrivals[i])
        heapq.heappush(free, begin + times[i])
        latency[i] = begin + times[i] - arrivals[i]
    latency = latency[5_000:]
    assert latency.mean() == pytest.approx(queue.mean_latency(rate), rel=0.08)
    assert np.quantile(latency, 0.9) == pytest.approx(queue.latency_quantile(0.9, rate), rel=0.12)
    # Little's law over the whole simulation: time spent inside by all, per second.
    inside = latency.sum() / (arrivals[-1] - arrivals[4_999])
    assert inside == pytest.approx(rate * latency.mean(), rel=0.02)


@pytest.mark.parametrize(
    "arguments", [{"servers": 0}, {"service": 0}, {"service_scv": -1}, {"overhead": -0.1}]
)
def test_impossible_queues_are_refused(arguments):
    """Numbers out of a queue that cannot be."""
    with pytest.raises(ValueError):
        Queue(**{"servers": 1, "service": 0.01, **arguments})
    with pytest.raises(ValueError):
        erlang_c(0, 1)


def test_who_comes_waits_for_the_work_before():
    """A recursion off by one request, or one that lets idle time count as credit."""
    assert lindley([0, 0, 5], [1, 2, 1]).tolist() == [0, 1, 0]
    assert lindley([], []).tolist() == []
    random = np.random.default_rng(0)
    came, takes = np.cumsum(random.exponential(size=500)), random.exponential(0.8, 500)
    free, expected = 0.0, []
    for at, seconds in zip(came, takes, strict=True):
        expected.append(max(at, free) - at)
        free = max(at, free) + seconds
    assert lindley(came, takes) == pytest.approx(np.array(expected))
    with pytest.raises(ValueError, match="services for"):
        lindley([1, 2], [1])
    with pytest.raises(ValueError, match="sorted"):
        lindley([2, 1], [1, 1])


def test_the_fluid_line_has_a_corner_where_the_queue_is_empty():
    """A line that goes below zero, or that starts again from what is not there."""
    times, depths = Fluid(10).depth([(5, 1), (20, 2), (5, 10)])
    assert times.tolist() == [0, 1, 3, 7, 13]
    assert depths.tolist() == [0, 0, 20, 0, 0]


def test_a_pile_is_worked_off_as_a_fluid_would_be():
    """A recovery that goes on where the base alone is too much, or begins below the limit."""
    fluid = Fluid(300.0)
    assert fluid.drain(120, rate=120) == pytest.approx(0.4 / 0.6)
    assert fluid.drain(-1, rate=120) == 0
    assert fluid.drain(120, rate=300) == math.inf
    assert math.isnan(Fluid(math.nan).drain(math.nan, rate=120))


def test_nobody_is_in_time_once_the_queue_outlasts_patience():
    """A curve that goes up where it must fall."""
    fluid = Fluid(30)
    assert fluid.timely([(20, 2)], 0.2) == 40
    # Twice the capacity: the queue grows a second a second, so 0.2 s of 2 s are in time.
    assert fluid.timely([(60, 2)], 0.2) == pytest.approx(60 * 0.2)
    # A second part finds the room that the first has left, and none after it is full.
    assert fluid.timely([(60, 0.1), (30, 1), (60, 1)], 0.2) == pytest.approx(6 + 30 + 6)
    assert fluid.timely([(60, 1), (20, 1)], 0.2) == pytest.approx(12)


def test_those_who_come_when_the_queue_has_drained_are_in_time_again():
    """A burst after which theory expects nobody to be served any more."""
    # 10 of patience fill in 0.1 s; the pile of 50 is down to 10 after 0.8 s of the calm.
    assert Fluid(100).timely([(200, 0.5), (50, 10)], 0.1) == pytest.approx(20 + 50 * 9.2)
    assert Fluid(100).timely([(200, 0.5), (100, 2)], 0.1) == pytest.approx(20)


@pytest.mark.parametrize(
    ("capacity", "rate", "patience"),
    [(math.nan, 10, 1), (5, math.nan, 1), (5, 10, math.nan)],
)
def test_what_is_asked_of_an_unknown_number_is_unknown(capacity, rate, patience):
    """A finite line of theory for a capacity that nobody knows."""
    fluid = Fluid(capacity)
    assert math.isnan(fluid.timely([(rate, 5)], patience))
    if not math.isnan(patience):
        assert math.isnan(fluid.drain(3, rate))
        assert math.isnan(fluid.depth([(rate, 5), (1, 1)])[1][-1])
