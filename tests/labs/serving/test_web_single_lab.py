"""Helpers of the lab `serving/web-single`: processors, what a request costs of them, the theory."""

import math
import time

import numpy as np
import pandas as pd
import pytest

from lab_services import limits, report, traffic
from lab_services.labs.serving.web_single import lab
from lab_services.report.queueing import lindley
from lab_services.report.stats import Interval
from lab_services.runs.profiles import Profile, made


def recorded(intended, note=""):
    """A recording of requests that were meant for these seconds after its beginning."""
    table = pd.DataFrame({"intended": intended, "latency": 0.1, "ok": True, "warmup": False})
    return traffic.Recording(table, begin=100.0, seconds=10.0, note=note)


def test_processors_are_those_that_can_be_used():
    """Sleep taken for work, or one thread's share for that of all."""
    found = lab.processors(0.2)
    assert 0 < found <= limits.usable_cores() * 1.05


@pytest.mark.alone
def test_processors_are_shared_with_strangers():
    """A machine that a neighbour uses, taken for one of our own; or one core for all of them."""
    with made(Profile.BUSY):
        found = lab.processors(0.4)
    assert 0.55 * limits.usable_cores() < found < limits.usable_cores() - 0.2


def test_a_request_costs_what_its_processes_have_used(monkeypatch):
    """The time of the answer taken for work, or work of all requests for that of one."""
    used = iter([10.0, 10.5])

    class Stack:
        def cpu_seconds(self, service):
            assert service == "predictor"
            return next(used)

    def send():
        until = time.process_time() + 0.2
        while time.process_time() < until:
            sum(range(1000))
        time.sleep(0.1)
        return recorded([100.0 + n for n in range(5)])

    found = lab.costed(Stack(), send)
    assert found.service == pytest.approx(0.1)
    # In this process alone; others of its family may have worked as well.
    assert found.all >= 0.2 / 5 * 0.9
    assert len(found.recording) == 5


def test_a_comparison_by_round_keeps_what_speaks_against_it():
    """A ratio of disturbed rounds that seems to be clean."""
    disturbed = Interval(50.0, 45.0, 55.0, 5, "requests/s", "Disturbed: by a neighbour.")
    found = lab.by_round([50.0, 60.0], [100.0, 120.0], disturbed)
    assert found.value == pytest.approx(0.5)
    assert found.note == disturbed.note
    lost = lab.by_round([50.0], [100.0], disturbed)
    assert not lost.known and disturbed.note in lost.note
    assert report.noted(disturbed, recorded([101.0], "late")).note == f"{disturbed.note}; late"


def test_nobody_waits_at_a_queue_that_is_hardly_used():
    """A theory without the time of the request itself, or one that leaves out requests."""
    latencies = lab.expected_latencies(1e-4, 50, [0.01, 0.02], alone=0.012)
    arrivals = [len(traffic.poisson(1, 50, seed=seed)) for seed in (0, 1)]
    assert len(latencies) == sum(arrivals)
    assert latencies == pytest.approx(np.full(len(latencies), 0.012))


def test_the_arrivals_are_those_that_were_sent():
    """Other arrivals than the lab's, at another rate or with another seed."""
    rate, service = 0.9 / 0.02, 0.02
    sent = traffic.poisson(rate, 200 / rate, seed=1).offsets
    expected = lindley(sent, np.full(len(sent), service)) + 0.03
    latencies = lab.expected_latencies(0.9, 200, [0.01, service], alone=0.03)
    assert latencies[-len(sent) :] == pytest.approx(expected)


def test_a_queue_beyond_its_capacity_grows_to_the_end():
    """A steady state where there is none: the fluid limit says how long the last one waits."""
    latencies = lab.expected_latencies(1.5, 4000, [0.01], alone=0.01)
    assert latencies[-1] == pytest.approx(4000 * 0.01 * (1 - 1 / 1.5), rel=0.1)


def test_what_is_not_known_stays_so():
    """A curve that ends the lab for want of a capacity, or one of the rounds that are left."""
    found = lab.expected_latencies(0.5, 20, [0.01, math.nan], alone=0.01)
    assert np.isnan(found).all()


def test_a_change_that_outlasts_its_traffic_is_told():
    """A release whose second half nobody has seen, counted as without a loss."""
    recording = recorded([100.5, 103.0, 109.0])
    whole = lab.during(recording, 102.0, 105.0)
    assert (len(whole), whole.note) == (1, "")
    cut = lab.during(recording, 102.0, 111.0)
    assert (len(cut), cut.note) == (2, "the traffic ended before the change did")
