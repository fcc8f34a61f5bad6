"""Helpers of the lab `serving/synchronous`: what it reads off, and the theory."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lab_services import Queue, traffic
from lab_services.labs.serving import synchronous as lab
from lab_services.report.stats import Interval

# --- reading and theory --------------------------------------------------------------------------


def recorded(rows):
    """A recording from tuples: intended, latency (s), ok."""
    table = pd.DataFrame(rows, columns=["intended", "latency", "ok"])
    return traffic.Recording(table.assign(warmup=False), begin=0.0, seconds=10.0)


def test_boards_hold_each_flight_once():
    """Flights that are lost or shown twice, and boards that are all of one length."""
    flights = [{"n": n} for n in range(3000)]
    boards = lab.boards(flights, mean=4, most=20)
    shown = [flight for board in boards for flight in board]
    assert shown == flights[: len(shown)]
    assert len(shown) > 2970
    lengths = [len(board) for board in boards]
    assert np.mean(lengths) == pytest.approx(4, rel=0.1)
    assert (min(lengths), max(lengths)) == (1, 20)
    for bad in ({"mean": 0.5}, {"most": 0}):
        with pytest.raises(ValueError, match="at least one flight"):
            lab.boards(flights, **bad)


def test_what_comes_out_is_counted_by_when_it_came():
    """What was sent taken for what came back, or failures counted as answers."""
    # One a second is sent, one every two seconds comes back.
    recording = recorded([(float(n), float(n), n % 5 > 0) for n in range(40)])
    assert lab.returned(recorded([(n, n, True) for n in range(40)]), 1, 4).value == 0.5
    assert lab.returned(recording, 1, 4).value < 0.5


def test_too_few_answers_make_no_rate():
    """A slow machine's few answers end the run, or are divided by no time."""
    once = recorded([(float(n), 1.0, True) for n in range(40)])
    assert "1 answers came back" in lab.returned(once, 1, 38.5).note
    assert "0 answers" in lab.returned(recorded([(1.0, 1.0, False)] * 3), 1, 0).note
    together = recorded([(1.0, 1.0, True)] * 4 + [(3.0, 9.0, False)])
    assert "two of each thread" in lab.returned(together, 1, 0).note


def test_threads_that_answer_together_make_a_steady_rate():
    """Stretches that hold a batch more or less, and a rate as unsure as that."""
    # Four threads answer together each second.
    batches = recorded([(n / 4, 1 + n // 4 - n / 4, True) for n in range(200)])
    found = lab.returned(batches, 4, 5)
    assert found.value == pytest.approx(4) and found.high - found.low < 1e-6


def test_what_disturbed_a_recording_is_told():
    """A claim that holds on what the machine could not measure."""
    late = replace(recorded([(n / 10, 0.1, True) for n in range(100)]), note="It was late.")
    late.table["expected"] = 0.1
    late.table["status"] = 200
    found = [
        lab.returned(late, 1, 1),
        lab.of_expected(late),
        lab.busy([(0.0, 0.0), (1.0, 0.5), (2.0, 1.5)], late),
        lab.off_theory(late, late, 0.05),
        lab.tail_ratio(late, late, 0.9),
        lab.returned(late, 1, 99),
    ]
    assert all("It was late." in each.note for each in found)


def test_how_busy_the_machine_was():
    """Readings in the order of the threads that took them."""
    found = lab.busy([(2.0, 5.5), (0.0, 4.0), (1.0, 5.0)], recorded([(0, 0, True)]))
    assert (found.value, found.unit, found.n) == (pytest.approx(0.75), "share", 2)


def test_rounds_with_more_weigh_more():
    """A round of two boards that counts as much as one of a hundred, or a round alone as exact."""
    found = lab.ratio_of_sums([100, 105, 95, 100, 4], [100, 100, 100, 100, 1])
    assert found.value == pytest.approx(404 / 401)
    assert 0.9 < found.low < found.value < found.high < 1.1
    assert not lab.ratio_of_sums([1, 2], [0, 0]).known
    assert not lab.ratio_of_sums([3], [4]).known


def test_late_boards_after_a_fault():
    """A board that never came counted as one in time, or one in time as late."""
    recording = recorded([(1, 0.9, True), (2, 0.2, True), (3, 0.1, True), (4, 0.1, False)])
    assert list(lab.latencies(recording)) == [0.9, 0.2, 0.1, np.inf]
    assert lab.late(lab.latencies(recording), 0.2) == 2


def in_turn(random, count, deadline):
    """Boards in turn for an application that waits and for one with a deadline (s)."""
    busy = 1 + np.sin(np.arange(count) / 20)  # they meet the same queue
    patient, hasty = (random.exponential(0.1, count) * busy for _ in range(2))
    waits = recorded([(n, took, True) for n, took in enumerate(patient)])
    given_up = hasty > deadline
    cuts = recorded([(n, min(took, deadline), True) for n, took in enumerate(hasty)])
    cuts.table["status"] = np.where(given_up, 203, 200)
    return cuts, waits


def test_a_deadline_cuts_off_what_is_slower():
    """A distance from theory where there is none, none where there is one."""
    cuts, waits = in_turn(np.random.default_rng(0), 1000, 0.1)
    found = lab.off_theory(cuts, waits, 0.1)
    assert found.low < 0 < found.high < 0.08
    assert lab.off_theory(cuts, waits, 0.05).high < 0
    lost = recorded([(n, 0.01, False) for n in range(1000)])
    assert lab.off_theory(cuts, lost, 0.1).high < 0


def test_the_tail_with_a_deadline_over_the_natural_one():
    """A tail of the answers alone, or an open end where the deadline is one."""
    cuts, waits = in_turn(np.random.default_rng(0), 300, 0.1)
    found = lab.tail_ratio(cuts, waits, 0.9)
    assert found.value == pytest.approx(0.1 / np.quantile(waits.table["latency"], 0.9))
    assert found.low < found.value < found.high < 0.5


def poisson(random, rate, count):
    return recorded([(at, 0.0, True) for at in np.cumsum(random.exponential(1 / rate, count))])


def queued(recording, *arguments, **named):
    return lab.as_queue(recording, *arguments, **named).table["expected"].to_numpy()


@pytest.mark.parametrize("threads", [1, 4])
def test_a_pool_is_a_queue(threads):
    """A theory's line that is off: exponential times have a formula (M/M/c)."""
    random = np.random.default_rng(0)
    came = poisson(random, 8 * threads, 100_000)
    took = queued(came, threads, lambda *_: random.exponential(0.1))
    assert took.mean() == pytest.approx(Queue(threads, 0.1).mean_latency(8 * threads), rel=0.05)


def test_a_pool_in_a_fault():
    """Work that is as slow as when the request came, and not as when it got its thread."""
    came = recorded([(float(n), 0.0, True) for n in range(4)])
    took = queued(came, 1, lambda _, begin: 3.0 if 1 <= begin < 3 else 0.5)
    # From 0, 1, 4 and 4.5 on.
    assert list(took) == [0.5, 3.0, 2.5, 2.0]


def test_a_pool_tells_its_requests_apart():
    """Pages without predictions that hold a thread for as long as those with them."""
    came = recorded([(float(n), 0.0, True) for n in range(4)])
    came.table["page"] = ["board", "airport", "board", "airport"]
    took = queued(came, 1, lambda request, _: 3.0 * (request["page"] == "board"))
    assert list(took) == [3.0, 2.0, 4.0, 3.0]


def test_who_leaves_is_not_worked_for():
    """A rival in whose world the queue is as long as in the other one."""
    came = recorded([(0.0, 0.0, True), (0.1, 0.0, True), (0.9, 0.0, True)])
    assert list(queued(came, 1, lambda *_: 1.0)) == pytest.approx([1.0, 1.9, 2.1])
    leaving = queued(came, 1, lambda *_: 1.0, patience=0.5)
    assert list(leaving) == pytest.approx([1.0, np.inf, 1.1])


def test_how_far_it_is_from_theory():
    """An interval as wide as the queue grows, or a ratio of what was not answered."""
    random = np.random.default_rng(0)
    theory = np.arange(1, 101) / 10
    grows = recorded([(n, 1.2 * theory[n] + random.normal(0, 0.1) + 1, True) for n in range(100)])
    grows.table["expected"] = theory
    found = lab.of_expected(grows, besides=1.0)
    assert found.low < 1.2 < found.high < 1.25
    grows.table["expected"] = 0.0
    assert "no time" in lab.of_expected(grows).note
    grows.table.loc[3, "ok"] = False
    assert "not all" in lab.of_expected(grows).note


def test_an_estimate_that_goes_into_a_theory_widens_it():
    """An interval as if the service time were known to the last digit."""

    def found(given):
        return Interval(given * 2, given * 2 - 1, given * 2 + 1, 50, note="found")

    ends = lab.wherever(found, Interval(3, 2, 4, 10))
    assert (ends.value, ends.low, ends.high, ends.note) == (6, 3, 9, "found")
    falls = lab.wherever(lambda given: found(-given), Interval(3, 2, 4, 10))
    assert (falls.low, falls.high) == (-9, -3)
    nothing = Interval.unknown("nothing came back", "s", 0)
    assert lab.wherever(found, nothing).note == "nothing came back"
    assert not lab.wherever(lambda given: found(given) if given < 4 else nothing, ends).known
