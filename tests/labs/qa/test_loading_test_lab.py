"""Helpers of the lab `qa/loading-test`: what it reads off, and the theory."""

import math
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from lab_services import report
from lab_services.errors import LabError
from lab_services.labs.qa.loading_test import lab, swarm
from lab_services.models.features import EXAMPLE
from lab_services.report.fit import Line
from lab_services.report.stats import Interval
from lab_services.traffic.recording import Recording
from lab_services.traffic.schedules import Schedule
from tests.patterns.fake_service import Answer, fake_service


def recording(latency, gap=0.1, **columns):
    latency = np.asarray(latency, dtype=float)
    table = pd.DataFrame({"intended": gap * np.arange(len(latency)), "latency": latency})
    table["started"], table["response_time"] = table["intended"], latency
    table = table.assign(status=200, ok=True, error="", warmup=False, **columns)
    return Recording(table, begin=0.0, seconds=gap * len(latency))


# --- what is asked, and what it takes -----------------------------------------------------------


def test_boards_are_cut_in_turn_and_begin_again():
    """Boards that all hold the same flights, or that end with the flights."""
    flights = [{"n": n} for n in range(3)]
    cut = lab.boards(flights, [2, 2])
    assert [[flight["n"] for flight in board] for board in cut] == [[0, 1], [2, 0]]
    with pytest.raises(ValueError, match="at least one"):
        lab.boards(flights, [1, 0])
    with pytest.raises(ValueError, match="at least one"):
        lab.boards([], [1])


def test_a_mix_is_dealt_in_packs():
    """A short test with another mix than the theory is told, or packs that are all alike."""
    pack = {1: 19, 61: 1}
    dealt = lab.lengths(50, pack, seed=1)
    assert dealt == lab.lengths(50, pack, seed=1) and len(dealt) == 50
    assert sorted(dealt[:20]) == sorted(dealt[20:40]) == [1] * 19 + [61]
    assert dealt[:20] != dealt[20:40]
    assert lab.scv(pack) == pytest.approx((19 + 61**2) / 20 / 16 - 1)
    assert lab.scv({4: 1}) == 0
    with pytest.raises(ValueError, match="at least one"):
        lab.lengths(10, {})


def test_every_arrival_asks_with_a_board_of_its_part():
    """Requests that slip into the next part of a schedule, so that A is measured as B."""
    arrivals = Schedule(np.array([0.0, 0.9, 1.0, 2.5]), 3.0, "by hand")
    boards = {"a": [[EXAMPLE]], "b": [[EXAMPLE] * 2]}
    made = lab.in_order(
        "http://127.0.0.1:1/predict", boards, arrivals, [("a", 1.0), ("b", 1.0), ("a", 1.0)]
    )
    assert [each.labels for each in made] == [
        {"part": "a", "flights": 1},
        {"part": "a", "flights": 1},
        {"part": "b", "flights": 2},
        {"part": "a", "flights": 1},
    ]


def test_the_work_of_a_board_is_found_from_its_latencies():
    """A fixed part that is taken for work, or work that becomes negative."""
    flights = [1, 4, 31] * 10
    found = lab.work(recording([0.002 + 0.0005 * n for n in flights], flights=flights))
    assert found.fixed == pytest.approx(0.002) and found.each == pytest.approx(0.0005)
    held = lab.holding(found, 0.007, 12)
    assert held(12) == pytest.approx(0.007) and held.each == found.each
    assert lab.holding(found, 0.001, 12).fixed == 0


@pytest.mark.parametrize("latencies", [[], [0.1, 0.2]])
def test_boards_of_one_length_tell_no_work(latencies):
    """A traceback for want of answers; a fixed part of 0 where nothing is known."""
    found = lab.work(recording(latencies, flights=[4] * len(latencies)))
    assert np.isnan(found).all() and np.isnan(lab.holding(found, 0.01, 4)).all()


def test_a_replay_of_arrivals_has_a_quantile_where_there_are_some():
    """A quantile of nothing; one of the measured latencies in the place of the replayed."""
    work = Line(0.05, 0.01)
    told = lab.replayed(recording([9.0] * 10, flights=[5] * 10), work, 0.9)
    assert (told.value, told.unit) == (pytest.approx(0.1), "s")
    assert not lab.replayed(recording([], flights=[]), work, 0.9).known
    unfitted = Line(math.nan, math.nan)
    assert not lab.replayed(recording([9.0], flights=[5]), unfitted, 0.9).known


# --- closed and open ----------------------------------------------------------------------------


def test_the_repair_adds_what_waiting_users_left_out():
    """A repair that adds too little, or touches recordings in which nobody waited."""
    quiet = recording([0.02] * 50)
    assert len(lab.corrected(quiet, 0.02)) == 50
    repaired = lab.corrected(recording([0.02] * 50 + [0.1] + [0.02] * 50), 0.02)
    added = repaired.table[repaired.table["latency"] > 0.021]["latency"]
    assert added.tolist() == pytest.approx([0.1, 0.08, 0.06, 0.04])
    assert len(repaired) == 101 + 4  # and one who would have waited as long as usual
    assert repaired.table["intended"].is_monotonic_increasing
    assert repaired.table["ok"].dtype == bool
    with pytest.raises(ValueError, match="every 0 s"):
        lab.corrected(quiet, 0)
    unknown = lab.corrected(recording([]), math.nan)
    assert unknown.table.empty and "not known" in unknown.note


def test_whoever_got_no_answer_has_suffered_too():
    """A count of slow requests that leaves out those which failed quickly."""
    table = recording([0.1, 0.3, 0.1]).table.assign(ok=[True, True, False])
    assert lab.slower(Recording(table, 0.0, 1.0), 0.2) == Interval.exact(2, "requests")


def test_of_no_request_nobody_knows_how_many_suffered():
    """None: a closed loop that sent nothing would look as if nobody had waited."""
    assert not lab.slower(recording([]), 0.2).known


def test_a_tail_is_compared_with_the_stall_in_it():
    """An interval for a stall that might as well not have come, which reaches down to none."""
    usual = np.random.default_rng(0).normal(0.02, 0.001, 300)
    stalled = usual.copy()
    stalled[100:180] = np.linspace(1.0, 0.1, 80)
    found = lab.times_slower(recording(stalled), recording(usual), report.Quantile(0.9))
    assert 15 < found.low < found.value < found.high < 45 and found.unit == "ratio"
    few = lab.times_slower(recording(stalled[:50]), recording(usual), report.Quantile(0.9))
    assert not few.known and "50 requests" in few.note


def test_a_closed_loop_gives_users_over_latency():
    """A throughput that depends on where the window ends."""
    found = lab.closed_throughput(recording([0.02, 0.03, 0.02, 0.03]), users=4)
    assert found.value == pytest.approx(4 / 0.025)
    assert found.low < found.value < found.high


def test_a_closed_loop_without_answers_has_no_throughput():
    """A division by no latency; an end below nothing where two answers differ widely."""
    assert not lab.closed_throughput(recording([]), users=4).known
    found = lab.closed_throughput(recording([0.001, 1.0]), users=4)
    assert 0 < found.low < found.value and found.high == math.inf


# --- the law and the shapes ---------------------------------------------------------------------


@pytest.mark.parametrize("truth", [(40, 0.1, 0.002), (40, 0, 0), (5, 0.3, 0)])
def test_the_law_is_found_again(truth):
    """A fit that finds other coefficients than those which made the points."""
    law = lab.Law(*truth)
    found = lab.fit_law({n: law(n) for n in (1, 2, 4, 8, 20)})
    assert found.alone == pytest.approx(law.alone, rel=1e-6)
    assert found.contention == pytest.approx(law.contention, abs=1e-6)
    assert found.coherence == pytest.approx(law.coherence, abs=1e-6)


def test_what_the_law_foretells_is_as_sure_as_what_it_was_fitted_to():
    """A prediction that is taken as exact; one that was fitted to the load it is compared with."""
    law, random = lab.Law(40, 0.1, 0.002), np.random.default_rng(0)
    loops = {n: recording(n / law(n) * random.normal(1, 0.1, 200)) for n in (1, 2, 4, 8, 20)}
    found = lab.foretold({**loops, 12: recording([9.0] * 5)}, 12)
    assert found.low < law(12) < found.high and found.unit == "requests/s"
    assert 0.01 < (found.high - found.low) / law(12) < 0.2
    assert not lab.foretold({**loops, 4: recording([])}, 12).known


def test_the_law_has_a_peak_only_where_agreeing_costs_something():
    """A division by nothing."""
    law = lab.Law(40, 0.1, 0.002)
    assert law(law.peak) > max(law(law.peak * 0.8), law(law.peak * 1.2))
    assert lab.Law(40, 0.1, 0).peak == math.inf


@pytest.mark.parametrize(
    "points", [{1: 40, 2: 70}, {1: 40, 2: 70, 4: 0}, {1: 1, 2: 2, 4: math.nan}]
)
def test_no_law_is_told_from_too_little(points):
    """A traceback, or a law through what was not measured."""
    law = lab.fit_law(points)
    assert math.isnan(law(12)) and math.isnan(law.contention)


def test_the_shapes_follow_each_other():
    """A part of the run that is cut out at the wrong time."""
    plan = lab.shapes(300, unit=2, spike=0.5, ramp=3)
    assert list(plan.times) == [
        *("low step", "high step", "rest", "spike", "after the spike", "break point")
    ]
    begins, ends = zip(*plan.times.values(), strict=True)
    assert begins == (0, *ends[:-1])
    assert sum(seconds for _, seconds in plan.parts) == begins[-1]
    assert ends[-1] - begins[-1] == plan.ramp[2] == 3
    assert plan.parts[3] == (600, 0.5) and plan.parts[4] == (120, 1.25)


def test_requests_under_way_are_counted_in_any_order():
    """A backlog that looks smaller because newer requests were answered first."""
    overtaken = recording([1.05, 0.95, 0.85, 0.05])  # sent every 0.1 s
    in_turn = recording([0.35, 0.85, 0.85, 0.75])
    moments = [0.05, 0.25, 0.34, 0.5, 1.2]
    assert report.in_flight(overtaken, moments).tolist() == [1, 3, 4, 3, 0]
    assert report.in_flight(in_turn, moments).tolist() == [1, 3, 4, 3, 0]
    assert lab.recovery(overtaken, 0.31, 1.5, 3) == pytest.approx(0.04, abs=0.011)
    assert lab.recovery(overtaken, 0.3, 0.9, 1) == pytest.approx(0.6)


def test_a_ramp_breaks_where_half_of_its_answers_are_late():
    """A break point that one late answer makes, or one early answer hides."""
    latencies = np.where(np.arange(200) < 120, 0.05, 0.3)
    latencies[[40, 41, 150, 151]] = 0.3, 0.3, 0.05, 0.05
    ramp = (100.0, 200.0, 20.0)
    assert lab.broke_at(recording(latencies), ramp, 0.1).value == pytest.approx(160, abs=1)


@pytest.mark.parametrize("latencies", [[], [0.01] * 20, [0.5] * 50])
def test_a_ramp_of_which_nothing_was_in_time_has_no_break_point(latencies):
    """A traceback on a slow machine, and a capacity made of nothing."""
    ramp = (100.0, 200.0, 20.0)
    found = lab.broke_at(recording(latencies), ramp, 0.1)
    assert not found.known and found.note
    assert math.isnan(lab.capacity_of_break(found.value, ramp, 0.1))


def test_the_capacity_behind_a_break_point():
    """A correction in the wrong direction."""
    ramp = (120.0, 480.0, 3.0)
    late_at = 300 + math.sqrt(2 * 120 * 0.1 * 300)
    assert lab.capacity_of_break(late_at, ramp, 0.1) == pytest.approx(300)


def test_replicas_are_counted_by_the_careful_end():
    """Half a replica, or a target met by luck only."""
    one = Interval(300, 250, 350, 100, "requests/s")
    assert lab.replicas_for(1000, one) == 4
    assert lab.replicas_for(1001, one, 0.5) == 9
    for room in (0.0, 1.1):
        with pytest.raises(ValueError, match="may be used"):
            lab.replicas_for(1000, one, room)
    for nothing in (Interval(1, 0, 2, 9), Interval.unknown("no answer", "requests/s")):
        assert lab.replicas_for(1000, nothing) is None


# --- the gate -----------------------------------------------------------------------------------


@pytest.fixture
def builds():
    """Rounds of the same version twice, and of one that is slower by a quarter."""
    noise = np.random.default_rng(0).normal(0, 0.03, (3, 20))
    return np.exp(noise) * np.array([[1.0], [1.0], [1.25]])


def test_rounds_are_medians_of_requests_in_their_order():
    """Rounds of mixed versions, or a last one that is not full."""
    table = recording([1, 10, 2, 20, 3, 30, 4, 40, 5, 50], version=["a", "b"] * 5)
    found = lab.medians(table, "version", ["a", "b"], each=2)
    assert found["a"].tolist() == [1.5, 3.5] and found["b"].tolist() == [15, 35]
    with pytest.raises(ValueError, match="at least 6"):
        lab.medians(table, "version", ["a", "b"], each=3)


def test_the_gate_uses_the_interval_that_readers_see(builds):
    """A quick formula that drifts away from the one in the report."""
    old, _, new = builds
    expected = report.paired_ratio(new.tolist(), old.tolist()).low
    assert float(lab.lower_ends(new, old)) == pytest.approx(expected)


def test_the_gate_stops_the_slower_and_lets_the_same_pass(builds):
    """A gate that stops everything, or nothing."""
    old, again, new = builds
    gate = {"rounds": 10, "tolerance": 0.05}
    assert lab.alarms(new, old, **gate).value > 0.99
    assert lab.alarms(again, old, **gate).value < 0.01
    assert lab.alarms(again, old, slower=0.25, **gate).value > 0.99


def test_more_draws_are_no_more_evidence(builds):
    """An error rate of two thousand builds as sure as if two thousand had been measured."""
    old, again, _ = builds
    found = lab.alarms(again, old, rounds=10, tolerance=0.05, slower=0.07)
    assert found.n == 20
    assert found.high - found.low > 0.2  # of 2,000 measured builds it would be below 0.05
    assert found.low <= found.value <= found.high


def test_the_naive_gate_tosses_a_coin():
    """An error rate that depends on the latencies, where it cannot."""
    latencies = np.random.default_rng(1).exponential(size=400)
    found = lab.naive_alarms(latencies, requests=100, q=0.95)
    assert found.value == pytest.approx(0.5, abs=0.06)


def test_the_power_of_the_gate():
    """A curve that does not begin at the error rate of the test, or that falls."""
    gate = {"spread": 0.04, "rounds": 10, "tolerance": 0.05}
    assert lab.power(0.05, **gate) == pytest.approx(0.025)
    curve = [lab.power(change, **gate) for change in (0, 0.05, 0.08, 0.1, 0.15)]
    assert curve == sorted(curve) and curve[-1] > 0.99


@pytest.mark.parametrize("spread", [0.001, 0.04, 1.0])
def test_the_fewest_rounds_suffice_and_one_less_does_not(spread):
    """A count that is off by one, or that is looked for round by round on a noisy machine."""
    found = lab.fewest_rounds(0.1, spread=spread, tolerance=0.05)
    gate = {"spread": spread, "tolerance": 0.05}
    assert lab.power(0.1, rounds=found, **gate) >= 0.9
    assert found == 2 or lab.power(0.1, rounds=found - 1, **gate) < 0.9


@pytest.mark.parametrize(("change", "spread"), [(0.1, math.nan), (0.05, 0.04)])
def test_no_number_of_rounds_finds_what_is_unknown_or_tolerated(change, spread):
    """A search without an end."""
    assert lab.fewest_rounds(change, spread=spread, tolerance=0.05) is None


# --- the stack and Locust -----------------------------------------------------------------------


class Told:
    """A stack whose predictor's metrics a test writes."""

    def __init__(self, *texts):
        self.texts = iter(texts)

    def text(self, service, path):
        return next(self.texts)


def test_the_predictor_is_believed_of_itself():
    """Other paths, refused requests, or buckets counted as requests."""
    text = """
process_cpu_seconds_total 2.5
process_resident_memory_bytes 6e7
request_seconds_bucket{le="0.1",path="/a",status="200"} 7.0
request_seconds_count{path="/a",status="200"} 7.0
request_seconds_sum{path="/a",status="200"} 0.5
request_seconds_count{path="/a",status="422"} 3.0
request_seconds_count{path="/b",status="200"} 9.0
"""
    told = Told(text, text, text.replace(" 7.0", " 9.0").replace("2.5", "3.5"))
    first = lab.said(told, "/a")
    assert first == (2.5, 6e7, 7, 0.5)
    assert lab.said(told, "/c") == (2.5, 6e7, 0, 0)
    assert lab.said(told, "/a").since(first) == (1, 0, 2, 0)


def test_a_platform_without_proc_tells_no_processor_and_no_memory():
    """A traceback on such a machine, or a predictor that is never busy."""
    told = lab.said(Told('request_seconds_count{path="/a",status="200"} 7.0'), "/a")
    assert told.requests == 7
    assert math.isnan(told.processor) and math.isnan(told.memory)


def test_a_pace_has_the_spread_between_its_parts(monkeypatch):
    """Time before the first request counted as idleness; a platform's silence as well."""
    clock = iter(range(100))
    monkeypatch.setattr(lab.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(lab.time, "sleep", lambda seconds: None)
    count = 'request_seconds_count{path="/a",status="200"}'
    told = [f"process_cpu_seconds_total {n / 4}\n{count} {30 * n + n % 2}\n" for n in range(1, 6)]
    waiting = [f"{count} 0\n"] * 3
    busy, rate = lab.pace(Told(*waiting, told[0], *told), "/a", 9.0, parts=4)
    assert (busy.value, busy.unit) == (0.25, "share")
    assert (rate.value, rate.unit) == (30, "requests/s") and rate.low < 30 < rate.high
    silent = [f"{count} {n}\n" for n in range(5)]
    busy, rate = lab.pace(Told(*silent), "/a", 2.0, parts=2)
    assert not busy.known and rate.value == 1


def test_locust_runs_counts_and_goes():
    """Processes that stay, users of the wrong kind, or a count that loses a worker's part."""
    with fake_service(lambda asked: Answer([{"probability": 0.1, "late": False}])) as service:
        with closing(swarm.Swarm("http://127.0.0.1:9", [[EXAMPLE]], workers=2)) as locust:
            locust.wait()
            counted = {
                path: locust.run(users=4, seconds=2, kind=kind, host=service.url)
                for kind, path in (("Traveller", "/predict/board"), ("Hurried", "/predict/quick"))
            }
            assert locust.page == f"http://127.0.0.1:{locust.port}/"
            processes = locust._processes
        for path, found in counted.items():
            asked = sum(each.path == path for each in service.asked)
            assert found.failures == 0 and found.requests > 10
            assert found.requests == pytest.approx(asked, abs=4)  # under way at the end
        assert all(process.poll() is not None for process in processes)
        locust.close()


def test_of_no_request_locust_tells_no_times(monkeypatch):
    """Locust's N/A taken for a number; a run without an answer that never ends."""
    monkeypatch.setattr(swarm.python, "command", lambda *_: ["true"])  # Locust is not asked
    with closing(swarm.Swarm("http://127.0.0.1:9", [[EXAMPLE]], workers=1)) as locust:
        none = b"Name,Request Count,Failure Count,Median Response Time,95%\nAggregated,0,0,0,N/A\n"
        monkeypatch.setattr(locust, "_ask", lambda path, form=None: none)
        found = locust.run(users=1, seconds=0.0)
    assert (found.requests, found.failures) == (0, 0)
    assert math.isnan(found.median) and math.isnan(found.p95)


def test_a_swarm_needs_a_worker_and_a_board():
    """A page that waits for ever for nobody."""
    with pytest.raises(LabError, match="a worker"):
        swarm.Swarm("http://127.0.0.1:1", [[EXAMPLE]], workers=0)
    with pytest.raises(LabError, match="a board"):
        swarm.Swarm("http://127.0.0.1:1", [])
