"""Helpers of the lab `operation/prediction-monitoring`: what it reads off, and the theory."""

import math

import numpy as np
import pytest

from lab_services.labs.operation.prediction_monitoring import live_traffic, months
from lab_services.labs.operation.prediction_monitoring.live_traffic import Phase
from lab_services.report.stats import Interval
from lab_services.traffic import spans

# --- the live part --------------------------------------------------------------------------------


def test_each_request_is_of_its_phase():
    """A fault that begins a request too late."""
    phases = [Phase("healthy", 2), Phase("", 1), Phase("zero", 2, lambda f: {**f, "wind": 0.0})]
    flights = [{"wind": 5.0}, {"wind": 6.0}]
    requests, schedule = live_traffic.traffic_in(
        phases, "http://127.0.0.1:1/predict", flights, rate=50
    )
    assert len(requests) == len(schedule)
    for request, offset in zip(requests, schedule.offsets, strict=True):
        assert (request.json["wind"] == 0) == (offset >= 3)
        assert request.labels["phase"] == (
            "healthy" if offset < 2 else "" if offset < 3 else "zero"
        )
    assert spans([phase[:2] for phase in phases]) == {"healthy": (0, 2), "zero": (3, 5)}


def test_times_are_joined_to_spans():
    """Two alarms told as one, or one as many."""
    assert live_traffic.joined([]) == []
    assert live_traffic.joined([1.0, 1.25, 1.5, 4.0, 4.25]) == [(1.0, 1.5), (4.0, 4.25)]


def test_seconds_on_and_first_on():
    """An alarm from before a fault that is taken for its discovery."""
    on = [(1.0, 2.0), (6.0, 9.0)]
    assert live_traffic.seconds_on(on, (1.5, 7.0)) == pytest.approx(1.5)
    assert live_traffic.seconds_on(on, (3.0, 5.0)) == 0
    assert live_traffic.first_on(on, (4.0, 8.0)) == 2.0
    assert live_traffic.first_on(on, (8.0, 10.0)) == 0.0
    assert live_traffic.first_on(on, (3.0, 5.0)) == math.inf


def test_an_alarm_that_stays_silent_has_no_delay():
    """An infinite delay that is kept."""
    assert live_traffic.delay(1.5) == Interval.exact(1.5, "s")
    assert not live_traffic.delay(math.inf).known


class Remembers:
    """A stack whose Prometheus has one rule, and one counter that a test gives the values of."""

    def __init__(self, values):
        self.values = values

    def json(self, service, path):
        if "query_range" not in path:
            return {"data": {"groups": [{"name": "input", "rules": [{"name": "Drift"}]}]}}
        found = [{"metric": {}, "values": self.values}] if self.values else []
        return {"data": {"result": found}}


def test_a_counter_is_read_inside_of_its_span():
    """Answers of the phase before; a traceback where nobody has answered yet."""
    told = [(100.0, "5"), (101.0, "7"), (102.0, "12"), (103.0, "20")]
    memory = live_traffic.Memory(Remembers(told), begin=100.0, seconds=4.0)
    assert memory.watches == {"Drift": "input"}
    assert memory.counted("answers", (1.0, 3.0)) == 5
    assert memory.counted("answers", (9.0, 9.5)) == 0
    assert live_traffic.Memory(Remembers([]), 100.0, 4.0).counted("answers", (0.0, 4.0)) == 0
    assert memory.mean("answers", (1.0, 3.0)) == 9.5


def test_the_graph_page_has_every_expression():
    """An expression with a brace that breaks the address."""
    page = live_traffic.graph("http://127.0.0.1:9090", 'up{job="a"}', "b")
    assert page.startswith("http://127.0.0.1:9090/graph?g0.expr=up%7Bjob")
    assert "g1.expr=b" in page


# --- the months -----------------------------------------------------------------------------------


def made(days=60, a_day=200, seed=0):
    random = np.random.default_rng(seed)
    n = days * a_day
    columns = {"wind": random.normal(10, 3, n), "probability": random.random(n)}
    return months.Predictions(
        columns, random.random(n) < 0.2, np.ones(n, dtype=int), np.repeat(np.arange(days), a_day)
    )


def test_days_are_split_where_the_day_changes():
    """A flight on two days, or on none."""
    days = made(5).days
    assert [len(day) for day in days] == [200] * 5
    assert [day.day[0] for day in days] == list(range(5))


def test_trailing_sums():
    """A window that is a day too long."""
    counts = np.arange(1.0, 6.0).reshape(-1, 1)
    assert months.trailing(counts, 2).ravel().tolist() == [1, 3, 5, 7, 9]
    assert counts.ravel().tolist() == [1, 2, 3, 4, 5]


def test_independent_windows_keep_to_the_theory():
    """A formula that is off by a factor."""
    of = made(400, 100)
    usual = of.reference()
    for threshold in (0.1, 0.2):
        measured = months.share_above(threshold, 100, usual, "wind", of)
        theory = months.share_above_theory(threshold, 100, usual, "wind")
        assert measured.value == pytest.approx(theory, abs=0.06)


def test_windows_that_depend_on_each_other_count_for_fewer():
    """An interval for as many independent windows as were cut, where neighbours are alike."""
    of, usual = made(400, 100), made(400, 100).reference()
    spells = np.random.default_rng(0).permutation(np.repeat([1.0, 1.5], 10))  # of twenty days
    wind = of.columns["wind"] * spells[of.day // 20]
    windy = months.replace(of, columns={**of.columns, "wind": wind})
    found = months.share_above(0.25, 100, usual, "wind", windy)
    assert found.value == pytest.approx(0.5, abs=0.02) and found.n == 400
    assert found.high - found.low > 0.2  # of 400 independent windows it would be 0.1


def alarm(factor=1.5, window=1, lag=0):
    of = made()
    usual = of.reference()
    faulty = {**of.columns, "wind": of.columns["wind"] * factor}
    counted = months.daily_counts(usual, "wind", of)
    after = months.daily_counts(usual, "wind", months.replace(of, columns=faulty))
    return months.Alarm(
        lambda counts: months.psi(usual.counts["wind"], counts), counted, after, window, lag
    )


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("rate", [0, 1, 3.5])
def test_a_threshold_keeps_its_false_alarms(window, rate):
    """An alarm that is called careful and is not."""
    tried = alarm(window=window)
    threshold = tried.threshold(rate)
    assert tried.false_alarms(threshold) <= rate
    # The lowest: just below it, there is one more.
    assert tried.false_alarms(threshold * 0.999) > rate - 7 / 50


def test_a_large_fault_is_found_on_its_first_day_and_none_is_not_found():
    """A delay that is counted from the wrong day; a fault that was not there and is found."""
    found = alarm(factor=3.0)
    assert set(found.delays(found.threshold(0)).tolist()) == {1.0}
    nothing = alarm(factor=1.0)
    assert set(nothing.delays(nothing.threshold(0)).tolist()) == {float(months.SEARCHED)}


def test_late_labels_delay_by_as_much():
    """Labels that are known before they are in."""
    late, at_once = alarm(lag=4), alarm()
    threshold = at_once.threshold(1)
    assert (late.delays(threshold) - at_once.delays(threshold)).tolist() == [4.0] * 45


def test_mean_delay_has_its_value_inside():
    """An interval beside its own value."""
    told = months.mean_delay(np.array([1.0, 2.0, 9.0] * 10))
    assert told.low <= told.value == 4.0 <= told.high
    assert told.unit == "days"


def test_one_week_says_nothing_of_the_spread():
    """An interval of no width, or a traceback, where a short time has one week to draw."""
    assert not months.mean_delay(np.ones(13)).known
    assert months.mean_delay(np.ones(14)).value == 1


def test_operating_curve_falls():
    """A threshold that is lowered and finds less."""
    curve = months.operating_curve(alarm(factor=1.1))
    delays = [curve[rate].value for rate in sorted(curve)]
    assert len(delays) > 4
    assert delays == sorted(delays, reverse=True)


def test_faults_do_what_they_are_called():
    """Freezing at 32 °C."""
    assert months.celsius(np.array([32.0, 212.0])).tolist() == [0.0, 100.0]
    assert months.kilometres(np.array([1.0])).tolist() == [1.609344]
    assert months.zero(np.array([5, 6])).tolist() == [0, 0]


def test_many_tests_ring_more_often_unless_corrected():
    """A correction that corrects nothing."""
    p = np.random.default_rng(0).random((4000, 20))
    plain = months.any_alarm(p, 0.05, corrected=False)
    assert plain.value == pytest.approx(1 - 0.95**20, abs=0.03)
    assert months.any_alarm(p, 0.05, corrected=True).value < 0.07


def test_slow_drift_is_seen_from_afar_only():
    """A comparison with yesterday that sees what grew over months, or a fixed one that does not."""
    of = made()
    usual = of.reference()
    counts = months.daily_counts(usual, "wind", months.growing(of, "wind", 0.01))
    fixed = months.drift_by_week(counts, usual.counts["wind"])
    before = months.drift_by_week(counts, None)
    assert fixed[8.0].value > 4 * fixed[1.0].value
    assert before[8.0].value < 2 * before[1.0].value
