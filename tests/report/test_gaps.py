"""Nothing ends in a traceback for want of evidence: every chart and every statistic."""

import inspect
import json
import math
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest

from lab_services import report
from lab_services.report import (
    bootstrap,
    charts,
    proportions,
    queueing,
    ranking,
    resampling,
    rounds,
    stats,
)
from lab_services.report.charts.timeline import Change
from lab_services.report.claim import Verdict
from lab_services.report.claims import Claims
from lab_services.report.fallbacks import Answered
from lab_services.report.measurements import as_json
from lab_services.report.stats import Interval, Quantile, Throughput
from tests.recordings import recorded

NAN, INF = math.nan, math.inf
ODD = re.compile(r"\b(nan|inf)\b", re.IGNORECASE)
UNKNOWN = Interval.unknown("too quick to tell", "s", 3)
SOME = Interval(1.0, 0.9, 1.1, 500, "s")
OPEN = Interval(1.0, 0.9, INF, 500, "s")

# What may be left of a recording that was too short, or of a service that was down.
RECORDINGS = {
    "empty": [],
    "one": [(0.0, 0.01, 200)],
    "one failed": [(0.0, 0.01, 503)],
    "two": [(0.0, 0.01, 200), (1.0, 0.02, 503)],
    "at once": [(0.0, 0.01, 200)] * 3,
    "nothing right": [(i / 10, 1.0, 503) for i in range(40)],
    "all alike": [(i / 10, 0.01, 200) for i in range(40)],
    "at no time": [(i / 10, 0.0, 200) for i in range(40)],
    "many": [(i / 100, 0.01 + (i * 7 % 13) / 1000, 503 if i % 9 == 0 else 200) for i in range(300)],
}
STATISTICS = {
    "quantile": report.P50,
    "high quantile": Quantile(0.99),
    "throughput": Throughput(),
    "errors": report.ERRORS,
    "goodput": report.Goodput(0.1),
    "goodput without deadline": report.Goodput(NAN),
    "answered": Answered(0.1, (200,)),
    "answered without deadline": Answered(NAN),
    "by model": partial(report.by_model, deadline=0.1),
    "by fallback": partial(report.by_fallback, deadline=0.1),
    "by anyone": partial(report.by_anyone, deadline=NAN),
    "its part": lambda found: report.P50(report.window(found, 100, INF)),
}
every_recording = pytest.mark.parametrize("rows", RECORDINGS.values(), ids=RECORDINGS)


def right(found: Interval) -> None:
    """A number with its ends, or none with a reason; either can be kept and claimed."""
    if found.known:
        assert found.low <= found.value <= found.high, found
    else:
        assert found.note and found.note != "not known", found
        assert math.isnan(found.low) and math.isnan(found.high)
    json.dumps(as_json(found), allow_nan=False)
    claims = Claims()
    rival = ("it is not", Interval.exact(-1e9))
    around = (found.value - 0.5, found.value + 0.5)
    claims.replayed("it is so", found, between=around, rival=rival)
    (claim,) = claims
    assert found.known or (claim.verdict, claim.reason) == (Verdict.NOT_ENOUGH, found.note)
    assert not ODD.search(str(claims))
    scaled = found.scaled(2, "ratio")
    assert (scaled.known, scaled.note) == (found.known, found.note)


@every_recording
@pytest.mark.parametrize("statistic", STATISTICS.values(), ids=STATISTICS)
@pytest.mark.parametrize(("note", "by_round"), [("", False), ("interrupted", True)])
def test_a_statistic_is_known_or_says_why_not(statistic, rows, note, by_round):
    """A traceback, a warning or a nan without a word, from a recording with too little in it."""
    recording = recorded(rows, note=note)
    if by_round:
        recording.table["round"] = np.arange(len(rows)) % 2
    found = statistic(recording)
    right(found)
    assert found.known or "deadline" in found.note or note in found.note


@every_recording
@pytest.mark.parametrize("kind", ["quantile", "throughput", "errors", "goodput"])
def test_a_comparison_is_known_or_says_why_not(kind, rows):
    """Two recordings of which one has too little in it."""
    for other in ("empty", "many"):
        pair = recorded(rows), recorded(RECORDINGS[other])
        right(report.ratio(*pair, STATISTICS[kind]))
        right(report.ratio(*pair[::-1], STATISTICS[kind]))
        right(report.difference(*pair[::-1], STATISTICS[kind]))


def test_rounds_without_a_partner_are_no_comparison():
    """A ratio of nothing, whose reason names requests that are there."""
    one, other = recorded(RECORDINGS["many"]), recorded(RECORDINGS["many"])
    one.table["round"], other.table["round"] = 1, 2
    found = report.ratio(one, other, report.P50)
    right(found)
    assert "no round in common" in found.note


@pytest.mark.parametrize("series", [[], [1.0], [1.0, 1.0]])
def test_a_series_of_next_to_nothing_has_no_dependence(series):
    """A warning of NumPy's in a reader's notebook."""
    series = np.array(series)
    assert (bootstrap.design_effect(series), bootstrap.block_length(series)) == (1, 1)
    low, high = bootstrap.ends([[series]], [1], lambda one: float(one[0].sum()), replicates=5)
    assert math.isnan(low) == math.isnan(high) == (not len(series))
    assert all(map(math.isnan, bootstrap.ends([[]], [1], lambda one: 1.0)))


VALUES = {"none": [], "one": [1.0], "nothing": [0.0, 0.0], "a gap": [1.0, NAN], "two": [1.0, 2.0]}
KINDS = {
    "none": ([], []),
    "one": ([True], [0.5]),
    "one kind": ([True, True], [0.1, 0.5]),
    "perfect": ([True, False], [0.9, 0.1]),
    "no chance": ([True, False], [NAN, 0.1]),
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_rounds_are_known_or_say_why_not(values):
    """A lab of one round, or whose round measured nothing."""
    right(rounds.t_interval(values, "s"))
    right(rounds.t_interval(iter(values), "s", least=0))
    right(rounds.t_interval(values, "s", dependent=True))
    right(rounds.paired_ratio(values, values[::-1]))
    right(rounds.geometric_mean(values, "s"))
    right(resampling.resampled(lambda s: float(s[0].sum()), np.array(values), draws=20))


@pytest.mark.parametrize("late, said", KINDS.values(), ids=KINDS)
def test_rankings_are_known_or_say_why_not(late, said):
    """Flights of one kind, which a short sample may be."""
    late, said = np.array(late, dtype=bool), np.array(said, dtype=float)
    right(ranking.auc_interval(late, said))
    right(ranking.auc_difference(late, said, said[::-1], draws=5))
    assert math.isnan(ranking.auc(late, said)) != ranking.auc_interval(late, said).known


@pytest.mark.parametrize("hits, of", [(0, 0), (0, 1), (1, 1), (5, 9)])
def test_proportions_are_known_or_say_why_not(hits, of):
    """An experiment to which nobody came."""
    right(proportions.proportion(hits, of))
    right(proportions.share([True] * hits + [False] * (of - hits)))
    right(proportions.proportions_differ(hits, of, 0, 0))
    right(proportions.proportions_differ(hits, of, 1, 1))
    right(proportions.proportions_differ(0, 0, hits, of))


QUEUE = {"q": 0.9}


@pytest.mark.parametrize("unknown", ["service", "overhead", "service_scv", "arrival_scv", "rate"])
@pytest.mark.parametrize(
    "asked", ["mean_wait", "mean_latency", "wait_quantile", "latency_quantile"]
)
def test_a_queue_of_what_is_not_known_expects_nothing(asked, unknown):
    """A root searched for a nan, or a latency out of nowhere."""
    known = {"service": 0.1, "overhead": 0.0, "service_scv": 1.0, "arrival_scv": 1.0, "rate": 5.0}
    values = known | {unknown: NAN}
    queue = queueing.Queue(1, **{key: value for key, value in values.items() if key != "rate"})
    method = getattr(queue, asked)
    given = {**QUEUE, "rate": values["rate"]}
    result = method(**{name: given[name] for name in inspect.signature(method).parameters})
    # A wait needs no overhead.
    assert math.isnan(result) == ("wait" not in asked or unknown != "overhead")
    assert math.isnan(queue.backlog_wait(values["rate"], 1.0)) == (unknown in ("service", "rate"))


def test_what_is_computed_from_what_is_not_known_keeps_its_reason():
    """A ratio without a value whose reason is lost on the way; infinity in a file."""
    assert UNKNOWN.scaled(2, "ratio").note == UNKNOWN.note
    assert "scaled by" in SOME.scaled(NAN, "ratio").note
    assert "scaled by" in SOME.scaled(INF, "ratio").note
    assert (Interval.exact(INF).known, Interval.exact(None).known) == (False, False)


def test_a_summary_of_too_little():
    """The table of a lab that was too short."""
    told = report.summary({name: recorded(rows) for name, rows in RECORDINGS.items()}, deadline=NAN)
    assert "nan" not in repr(told) and "not known (the deadline is not known)" in repr(told)
    with pytest.raises(ValueError, match="no recording"):
        report.summary({}, deadline=1)


def drawn(make, **more):
    """A chart, which is complete; what is missing is said under it and in its words."""
    chart = make(name="x", title="t", **more)
    assert not ODD.search(chart.svg + chart.alt)
    texts = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", chart.svg))
    for gap in re.findall(r"Not known: [^.]*\.", chart.alt):
        assert gap[:40] in texts.replace("&amp;", "&"), texts
    return chart.alt


POINTS = {
    "one missing": {1: SOME, 2: UNKNOWN},
    "none known": {1: UNKNOWN, 2: UNKNOWN},
    "many reasons": {at: Interval.unknown(f"{at} are too few", "s") for at in range(1, 14)},
    "no unit": {1: Interval.unknown("never came back")},
    "open": {1: OPEN, 2: Interval(1.0, -INF, INF, 1, "s", "one value has no interval")},
    "zero": {1: Interval.exact(0.0, "s"), 2: UNKNOWN},
    "no place": {1: SOME, NAN: SOME},
    "no interval": {1: Interval(1.0, NAN, NAN, 3, "s")},
}
THEORIES = {"known": lambda at: 0.1 * at, "nan": lambda at: NAN, "infinite": lambda at: INF}


@pytest.mark.parametrize(
    ("theory", "knee", "log"), [("known", 1.5, True), ("nan", NAN, False), ("infinite", INF, True)]
)
@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS)
def test_a_sweep_shows_its_gaps(points, theory, knee, log):
    """A sweep of which a step was too short, or that was too short as a whole."""
    words = drawn(
        partial(charts.sweep, {"a": points, "b": {1: SOME}}, y="y"),
        theory={"a": THEORIES[theory]},
        knees={"a": knee},
        log=log,
        log_x=not log,
    )
    for at, interval in points.items():
        assert interval.known or re.search(rf"Not known: a at ([0-9.]+, )*{at}\b", words)
        # Of reasons that differ in a number the first and the last stand for all.
        assert (
            interval.known or interval.note in words or re.sub(r"\d+", "13", interval.note) in words
        )
    assert math.isfinite(knee) == ("Not known: the predicted knee of a" not in words)
    assert drawn(partial(charts.sweep, {"a": points}, y="y"), log=log)


def test_a_sweep_without_a_step_of_a_series():
    """A series that vanishes from the chart; a chart of nothing at all, which is a mistake."""
    words = drawn(partial(charts.sweep, {"a": {1: SOME}, "b": {}}, y="y"))
    assert "Not known: b: nothing was measured." in words
    with pytest.raises(ValueError, match="one unit"):
        charts.sweep({"a": {}}, name="x", title="t", y="y")


@pytest.mark.parametrize("bound", [None, 0.5, NAN])
@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS)
def test_bars_show_their_gaps(points, bound):
    """A bar of nothing, which looks like one of zero."""
    values = {f"bar {place}": interval for place, interval in enumerate(points.values())}
    words = drawn(partial(charts.bars, values), bound=bound)
    for at, interval in values.items():
        assert interval.known or f"Not known: {at}: {interval.note}." in words
    assert ("Not known: the bound" in words) == (bound is NAN)


@every_recording
@pytest.mark.parametrize(
    ("deadline", "beside"),
    [(0.1, {}), (NAN, {"other": recorded(RECORDINGS["many"])}), (INF, {})],
)
def test_recordings_are_drawn_as_far_as_they_go(rows, deadline, beside):
    """A lab that stops at its chart because a service was down, which is what it would show."""
    several = {"this": recorded(rows), **beside}
    faults = [Change("burst", "", 0.5, None), Change("loss", "", NAN, NAN)]
    correct = sum(status == 200 for _, _, status in rows)
    words = drawn(partial(charts.latency, several), deadline=deadline)
    assert ("Not known: this:" in words) == (correct < 20)
    words = drawn(partial(charts.timeline, several, faults), deadline=deadline)
    assert "Not known: when loss" in words
    assert ("Not known: this: no requests" in words) == (not rows)
    assert ("Not known: latency of this" in words) == (bool(rows) and not correct)
    assert ("Not known: the deadline" in words) == math.isnan(deadline)
    kinds = lambda table: table["ok"].map({True: "right", False: "wrong"})  # noqa: E731
    outcomes = partial(charts.outcomes, several, faults, kinds=kinds, order=["right", "wrong"])
    assert ("Not known: this: no requests" in drawn(outcomes)) == (not rows)


@pytest.mark.parametrize(
    ("rows", "shaded", "said"),
    [
        ({"Slow": [(1.0, INF)]}, {"kill": (0.5, INF)}, "Slow: 1 on"),
        ({"Slow": [(1.0, NAN)]}, {"kill": (0.5, 1.0)}, "Not known: when Slow was on, 1 of 1"),
        ({"Slow": [(NAN, NAN)]}, {"kill": (NAN, NAN)}, "Not known: when kill."),
        ({"Slow": []}, {}, "Slow: never"),
        ({"Slow": [(0.0, 0.0)]}, {}, "0 to 0"),
    ],
)
def test_spans_show_their_gaps(rows, shaded, said):
    """An alarm that never ended, or nobody knows when."""
    assert said in drawn(partial(charts.spans, rows), shaded=shaded)


def test_a_matrix_shows_its_gaps():
    """A cell that nobody measured, taken for a wrong number or for the end of the lab."""
    words = drawn(partial(charts.matrix, {"a": {"x": 0.5, "y": NAN}, "b": {"x": NAN, "y": NAN}}))
    assert "a: x 50 %. Not known: a: y. Not known: b: x, y." in words


@pytest.mark.parametrize("values", [[NAN, NAN], [NAN, 1.0], [INF, 0.0]])
def test_series_show_their_gaps(values):
    """A line of nothing, or a theory that is not known, that nobody misses."""
    lines = {"a": ([0.0, 1.0], values), "b": ([0.0, 1.0], [1.0, 2.0])}
    words = drawn(partial(charts.series, lines), theory={"b": ([0.0, 1.0], [NAN, NAN])}, y="jobs")
    assert "Not known: the theory of b." in words
    assert ("Not known: a." in words) == (values == [NAN, NAN])


@pytest.mark.parametrize("took", [[INF, INF], [0.0, 0.0], [NAN, INF], [0.01, INF]])
@pytest.mark.parametrize("asked", [[0.0, 0.0], [0.0, 2.0]])
def test_a_scatter_shows_its_gaps(took, asked):
    """Answers that never came, or of which nobody knows; a lab that ends where none did."""
    panels = {
        "a": pd.DataFrame({"asked": asked, "took": took, "kind": "whole"}),
        "b": pd.DataFrame(columns=["asked", "took", "kind"]),
    }
    faults = [Change("burst", "", 0.5, None), Change("loss", "", NAN, NAN)]
    theory = {"a": (asked, [NAN, INF])}
    words = drawn(partial(charts.scatter, panels, faults), order=["whole"], theory=theory)
    assert "Not known: when loss. Not known: the theory of a. Not known: b: nobody asked." in words
    assert (f"{took.count(INF)} never" in words) == (INF in took)


def test_every_chart_and_statistic_is_asked():
    """A new chart or statistic that nobody tried with too little."""
    source = inspect.getsource(inspect.getmodule(drawn))
    modules = (rounds, proportions, ranking, resampling, stats)
    public = {
        name
        for module in modules
        for name, made in vars(module).items()
        if inspect.isfunction(made) and made.__module__ == module.__name__ and name[0] != "_"
    }
    # They measure no interval.
    beside = {"rows", "note", "note_at", "noted", "requests_needed", "offered", "share_ends"}
    within = {"quantile", "goodput", "throughput", "error_share"}  # are the classes' short forms
    for name in public - beside - within | set(charts.__all__) - {"Chart"}:
        assert re.search(rf"\.{name}\b", source), name
    assert math.isnan(report.offered(pd.DataFrame({"intended": [1.0]})))
