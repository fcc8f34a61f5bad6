"""Statistics of recordings."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from lab_services import report
from lab_services.report import bootstrap
from lab_services.report.stats import (
    ERRORS,
    MEAN,
    P50,
    P99,
    THROUGHPUT,
    Goodput,
    Interval,
    Mean,
    Quantile,
    difference,
    error_share,
    goodput,
    offered,
    quantile,
    ratio,
    requests_needed,
    throughput,
)
from tests.recordings import recorded


def test_quantile_is_an_order_statistic_inside_its_interval(record):
    """A quantile off by one rank, or an interval that does not hold it."""
    values = np.random.default_rng(1).permutation(np.arange(1, 2001)) / 1000
    found = quantile(record(values), 0.95)
    assert found.value == pytest.approx(1.901)
    assert 1.85 < found.low < found.value < found.high < 1.95
    assert (found.n, found.unit) == (2000, "s")


@pytest.mark.parametrize(("q", "n"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1000)])
def test_quantile_is_not_shown_from_too_few(record, q, n):
    """A p99 of a hundred requests, which is the luck of one of them."""
    assert requests_needed(q) == n
    values = np.random.default_rng(2).exponential(size=n)
    assert math.isnan(quantile(record(values[:-1]), q).value)
    assert str(n) in quantile(record(values[:-1]), q).note
    assert not math.isnan(quantile(record(values), q).value)


def test_interval_allows_for_dependence(record, queue_latencies):
    """Intervals that take requests in one queue for independent, and are far too narrow."""
    random = np.random.default_rng(3)
    true = -math.log(0.5) * 0.005 / (1 - 0.8)
    held = naive = 0
    for _ in range(40):
        values = queue_latencies(4500, 0.8, 0.005, random)[500:]
        found = P50(record(values))
        held += found.low <= true <= found.high
        low, high = bootstrap.ends(
            [[values]], [1], lambda series: P50.of(series[0]), replicates=200
        )
        naive += low <= true <= high
    assert held >= 32
    assert naive <= 20, "the plain bootstrap would do, so this proves nothing"


def test_interval_of_a_tail_near_saturation_stays_open(record, queue_latencies):
    """A p99 near saturation with an upper end that a few bursts cannot give."""
    values = queue_latencies(4500, 0.9, 0.005, np.random.default_rng(4))[500:]
    found = P99(record(values))
    assert math.isinf(found.high)
    assert "at least" in str(found)


def test_design_effect_of_a_known_process():
    """A wrong spectrum: for a first-order process it is (1 + r) / (1 - r)."""
    noise = np.random.default_rng(5).normal(size=40_000)
    series = np.empty_like(noise)
    series[0] = noise[0]
    for i in range(1, len(noise)):
        series[i] = 0.5 * series[i - 1] + noise[i]
    assert bootstrap.design_effect(series) == pytest.approx(3, rel=0.15)
    assert bootstrap.design_effect(noise) == pytest.approx(1, abs=0.15)
    assert bootstrap.block_length(series) > 3 * bootstrap.block_length(noise)
    assert bootstrap.block_length(np.ones(100)) == 1


def test_goodput_counts_correct_answers_inside_the_deadline(record):
    """Late or wrong answers in the goodput, or a rate by the wrong duration."""
    n = 1000
    latency = np.where(np.arange(n) % 10 == 0, 0.2, 0.01)
    ok = np.arange(n) % 10 != 1
    found = goodput(record(latency, ok=ok), deadline=0.1)
    assert found.value == pytest.approx(80)
    assert found.low < 80 < found.high
    assert goodput(record(latency), deadline=0.2).value == pytest.approx(100)


def test_all_good_or_none_still_has_an_interval(record):
    """An interval of no width where every request succeeds: a hundred do not prove a million."""
    every = error_share(record(np.full(100, 0.01)))
    assert (every.value, every.low) == (0, 0)
    assert every.high == pytest.approx(0.0362, abs=1e-3)  # 1 - 0.025 ** (1 / 100)
    none = error_share(record(np.full(100, 0.01), ok=False))
    assert none.high == 1
    assert none.low == pytest.approx(1 - 0.0362, abs=1e-3)


def test_the_mean_allows_for_dependence_and_rounds(record, queue_latencies):
    """A mean of failed answers too; an interval of neighbours taken as independent."""
    latency = queue_latencies(4000, 0.8, 0.01, np.random.default_rng(0))
    alone = MEAN(record(latency))
    naive = 2 * 1.96 * latency.std() / len(latency) ** 0.5
    assert alone.low < latency.mean() < alone.high
    assert alone.high - alone.low > 3 * naive
    failed = MEAN(record([0.1, 0.2, 9.0], ok=[True, True, False]))
    assert (failed.value, failed.n, failed.unit) == (pytest.approx(0.15), 2, "s")
    assert "a mean needs 2" in MEAN(record([0.1])).note


def test_a_late_generator_counts_on_the_scale_that_matters():
    """A note about microseconds that takes the evidence from a comparison of milliseconds."""
    table = pd.DataFrame({"intended": np.arange(40) / 10, "latency": 0.001, "ok": True})
    seen = SimpleNamespace(
        table=table.assign(started=table["intended"] + 0.0004),
        note="late",
        late=True,
        disturbed=lambda bears: "",
    )
    assert (Mean(scale=0.015)(seen).note, Mean(scale=0.001)(seen).note) == ("", "late")
    assert MEAN(seen).note == "late"


def test_failures_are_no_fast_answers(record):
    """Refused connections that make the median better."""
    latency = np.r_[np.full(500, 0.0001), np.full(500, 0.1)]
    ok = np.r_[np.zeros(500, bool), np.ones(500, bool)]
    recording = record(latency, ok=ok)
    assert P50(recording).value == pytest.approx(0.1)
    assert ERRORS(recording).value == pytest.approx(0.5)


def test_warm_up_is_dropped(record):
    """The first slow requests in every number."""
    latency = np.r_[np.full(100, 5.0), np.full(400, 0.01)]
    recording = record(latency, warmup=np.arange(500) < 100)
    assert Quantile(0.9)(recording).value == pytest.approx(0.01)
    assert Goodput(0.1)(recording).n == 400


def test_pauses_between_rounds_do_not_count(record):
    """A rate that is too low because the time between two rounds is in it."""
    parts = [record(np.full(200, 0.01), begin=at, round=i).table for i, at in enumerate((0, 900))]
    joined = pd.concat(parts)
    assert offered(joined) == pytest.approx(100)
    assert throughput(joined).value == pytest.approx(100, rel=0.02)


def test_throughput_under_overload_is_the_capacity(record):
    """A capacity that grows with what is offered."""
    n, capacity, rate = 3000, 50, 100
    sent = np.arange(n) / rate
    back = np.arange(1, n + 1) / capacity
    found = throughput(record(back - sent, rate=rate))
    assert found.value == pytest.approx(capacity, rel=0.02)
    assert found.low <= capacity <= found.high * 1.02


def test_ratio_cancels_what_disturbed_both(record):
    """A comparison that mistakes a noisy neighbour for a difference."""
    random = np.random.default_rng(6)
    # Half of the time everything takes three times as long.
    slow = np.repeat(random.permutation(np.r_[np.ones(20), 3 * np.ones(20)]), 50)
    a = record(0.02 * slow * random.lognormal(sigma=0.05, size=2000))
    b = record(0.01 * slow * random.lognormal(sigma=0.05, size=2000))
    found = ratio(a, b, P50)
    assert found.unit == "ratio"
    assert found.low < 2 < found.high
    shifted = record(np.roll(b.table["latency"], 777))
    apart = ratio(a, shifted, P50)
    assert apart.high / apart.low > 1.3 * found.high / found.low
    assert difference(a, b, P50).value == pytest.approx(P50(a).value - P50(b).value)


def test_ratio_pairs_rounds(record):
    """Rounds that are drawn apart, so that a slow round looks like a difference."""
    random = np.random.default_rng(7)

    def measured(base):
        parts = [
            record(
                base * speed * random.lognormal(sigma=0.05, size=400), begin=100 * i, round=i
            ).table
            for i, speed in enumerate((1, 2, 4, 1.5))
        ]
        return pd.concat(parts)

    found = ratio(measured(0.03), measured(0.01), P50)
    assert 2.8 < found.low < 3 < found.high < 3.2


def test_shares_of_five_rounds_are_paired(record):
    """A drift that both arms have in common, counted as if it were a difference."""
    random = np.random.default_rng(4)

    def measured(extra):
        return pd.concat(
            record(
                [0.01] * 400,
                begin=100 * i,
                round=i,
                ok=random.random(400) >= p,
            ).table
            for i, p in enumerate(np.array([0.05, 0.1, 0.2, 0.3, 0.4]) + extra)
        )

    found = difference(measured(0.1), measured(0.0), ERRORS)
    assert 0.04 < found.low < 0.1 < found.high < 0.16
    none = difference(measured(-1.0), measured(-1.0), ERRORS)  # nobody fails
    assert none.low < 0 < none.high


def test_ratio_over_rounds_is_as_uncertain_as_the_rounds(record):
    """An interval that knows nothing of one round in which it was the other way round."""

    def measured(*medians):
        noise = np.random.default_rng(8).lognormal(sigma=0.02, size=400)
        return pd.concat(
            [record(m * noise, begin=100 * i, round=i).table for i, m in enumerate(medians)]
        )

    found = ratio(measured(2, 2, 0.5), measured(1, 1, 1), P50)
    assert found.low < 1 < found.high


@pytest.mark.parametrize("statistic", [P50, THROUGHPUT, ERRORS])
def test_ratio_to_itself_is_one(record, statistic):
    """A bias in the comparison."""
    random = np.random.default_rng(9)
    recording = record(random.exponential(0.01, 2000), ok=random.random(2000) > 0.1)
    found = ratio(recording, recording, statistic)
    assert found.value == pytest.approx(1)
    assert found.low <= 1 <= found.high


def test_shares_are_compared_at_the_edge(record):
    """No interval where one of two shares is zero, which is the case worth showing."""
    lost = record(np.full(500, 0.01), ok=np.arange(500) % 5 != 0)
    none = record(np.full(500, 0.01))
    less = difference(none, lost, ERRORS)
    assert less.value == pytest.approx(-0.2)
    assert -0.27 < less.low < less.high < -0.14
    times = ratio(none, lost, ERRORS)
    assert (times.value, times.low) == (0, 0)
    assert 0 < times.high < 0.1
    unknown = ratio(lost, none, ERRORS)
    assert math.isnan(unknown.value)
    assert "zero" in unknown.note


def test_ends_are_combined_as_published():
    """Another formula than the cited one, or one that fails where a share is none or open."""
    a, b = report.proportion(56, 70), report.proportion(48, 80)
    by_statsmodels = confint_proportions_2indep(56, 70, 48, 80, method="newcomb")
    wilson = []
    for hits, of in ((56, 70), (48, 80)):
        low, high = proportion_confint(hits, of, method="wilson")
        wilson.append(Interval(hits / of, low, high, of))
    less = wilson[0].minus(wilson[1])
    assert (less.low, less.high) == pytest.approx(by_statsmodels)
    times = a.over(b)
    product = a.value * b.value
    for end, (end_a, end_b), sign in (
        (times.low, (a.low, b.high), -1),
        (times.high, (a.high, b.low), 1),
    ):
        root = product**2 - end_a * end_b * (2 * a.value - end_a) * (2 * b.value - end_b)
        expected = (product + sign * root**0.5) / (end_b * (2 * b.value - end_b))
        assert end == pytest.approx(expected)
    exact = Interval.exact(3.0).over(Interval.exact(2.0))
    assert (exact.low, exact.value, exact.high) == pytest.approx((1.5, 1.5, 1.5))
    none = Interval.exact(0.0).over(b)
    assert (none.low, none.value, none.high) == (0, 0, 0)
    wide = Interval(1.0, 0.5, math.inf, 1, note="open").over(Interval(1.0, 0.5, math.inf, 1))
    assert (wide.low, wide.value, wide.high, wide.note) == (0, 1, math.inf, "open")


def test_what_is_not_known_stays_so_when_intervals_meet():
    """A number made of one that nobody has measured, or of a division by nothing."""
    known, unknown = Interval(1.0, 0.5, 2.0, 9, "s"), Interval.unknown("it was away", "s")
    assert {known.minus(unknown).note, unknown.over(known).note} == {"it was away"}
    assert "zero" in known.over(Interval(1.0, 0.0, 2.0, 9)).note
    below = Interval(0.1, -0.1, 0.3, 9).over(known)
    above = Interval(-0.1, -0.3, 0.1, 9).over(known)
    assert (below.low, below.high) == pytest.approx((-above.high, -above.low))
    assert below.low < -0.1 / 1.0 and below.high > 0.3


@pytest.mark.parametrize("of", [5, 50])
def test_combined_intervals_hold_the_truth(of):
    """An interval of a difference or a ratio that misses more often than it says."""
    random = np.random.default_rng(0)
    trials, held = 800, np.zeros(2)
    for _ in range(trials):
        a, b = (
            report.t_interval(random.normal(6, 1, of)),
            report.t_interval(random.normal(4, 1, of)),
        )
        less, times = a.minus(b), a.over(b)
        held += less.low <= 2 <= less.high, times.low <= 1.5 <= times.high
    assert (held / trials > 0.93).all() and (held / trials < 0.99).all()


def test_comparison_of_too_few_is_unknown(record):
    """A ratio of two p99 that may not be shown themselves."""
    found = ratio(record(np.full(999, 0.01)), record(np.full(2000, 0.01)), P99)
    assert math.isnan(found.value)
    assert "999" in found.note


def test_note_travels_with_the_number(record):
    """Late traffic that nobody hears of any more once it has become a number."""
    late = record(np.full(1000, 0.01), note="late by 20 ms")
    calm = record(np.full(1000, 0.01))
    assert P50(late).note == "late by 20 ms"
    assert ratio(calm, late, P50).note == "late by 20 ms"
    assert ERRORS(late).note == "late by 20 ms"
    assert P50(late.table).note == ""


@pytest.mark.parametrize("statistic", [MEAN, P50, P99, THROUGHPUT, ERRORS, Goodput(0.1)])
def test_nothing_recorded_is_unknown(record, statistic):
    """A crash, or a number, from an empty recording."""
    found = statistic(record([]))
    assert math.isnan(found.value)
    assert found.note


def test_same_recording_same_interval(record):
    """Intervals that differ from run to run of the same cell."""
    a = record(np.random.default_rng(10).exponential(size=500))
    b = record(np.random.default_rng(11).exponential(size=500))
    assert ratio(a, b, P50) == ratio(a, b, P50)


def test_quantile_outside_its_range_is_refused():
    """p99 written as 99."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        Quantile(99)


def test_interval_in_words():
    """Digits that the interval does not support, or a unit twice."""
    assert str(Interval(0.0123, 0.0118, 0.0131, 9, "s")) == "12.3 ms (11.8 to 13.1 ms)"
    assert str(Interval(3.4321, 3.35, 3.52, 9, "ratio")) == "3.43× (3.35 to 3.52×)"
    assert str(Interval.exact(2, "cores")) == "2 cores"


@pytest.mark.parametrize(
    ("late", "ended", "noted"), [(0.01, False, ""), (0.2, False, "late"), (0.01, True, "late")]
)
def test_only_lateness_that_matters_to_the_deadline_is_noted(late, ended, noted):
    """A generator 10 ms late takes the evidence from a share of answers within a second."""
    moments = np.arange(200) / 100
    table = pd.DataFrame(
        {"intended": moments, "started": moments + late, "latency": 0.5, "ok": True}
    )
    recording = SimpleNamespace(
        table=table, note="late", late=True, interrupted=ended, disturbed=lambda bears: ""
    )
    assert goodput(recording, 1.0).note == noted
    assert P50(recording).note == "late"


def test_two_exact_numbers_divide_whatever_they_are():
    """A square root of what floating point leaves below nothing."""
    for a, b in np.random.default_rng(3).uniform(0.1, 10, (500, 2)):
        found = Interval.exact(a).over(Interval.exact(b))
        assert (found.low, found.value, found.high) == pytest.approx((a / b,) * 3)


def test_a_lateness_that_both_shares_bear_is_none_of_their_difference():
    """A claim without evidence although each side is well known."""
    late = recorded([(i / 100, 0.1, 200) for i in range(200)], late=0.02, note="late")
    bears = Goodput(5.0)
    assert bears(late).note == ""
    assert difference(late, late, bears).note == ""
