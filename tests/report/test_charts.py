"""Charts: what must hold for every one of them, and what is particular to each."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from lab_services.report import charts
from lab_services.report.charts import style
from lab_services.report.charts.timeline import Change, name_faults
from lab_services.report.stats import Interval
from lab_services.stack.messages import Fault
from lab_services.traffic.disturbance import NUMBERS, Disturbance

SVG = "{http://www.w3.org/2000/svg}"


def interval(value, **more):
    return Interval(value, value * 0.9, value * 1.1, 500, "s", **more)


@pytest.fixture
def make(record):
    """Every kind of chart, from the same data each time."""

    def draw(kind, name="chart", note=""):
        random = np.random.default_rng(1)
        recording = record(random.exponential(0.01, 3000), ok=random.random(3000) > 0.05, note=note)
        fault = Fault("kill", "predictor", 2, start=1.8e9 + 8)
        return {
            "sweep": lambda: charts.sweep(
                {
                    "1 worker": {50: interval(0.01), 100: interval(0.1, note=note)},
                    "2 workers": {50: interval(0.01), 100: interval(0.02)},
                },
                name=name,
                title="Latency & load",
                y="p99 latency",
                theory={"1 worker": lambda rate: 0.01 if rate < 90 else float("inf")},
                knees={"1 worker": 90},
            ),
            "timeline": lambda: charts.timeline(
                {"a": recording, "b": recording},
                [fault],
                name=name,
                title="Latency & load",
                deadline=0.1,
            ),
            "latency": lambda: charts.latency(
                {"a": recording, "b": recording}, name=name, title="Latency & load", deadline=0.1
            ),
            "bars": lambda: charts.bars(
                {"a": interval(1.0), "b": interval(2.0, note=note)},
                name=name,
                title="Latency & load",
                bound=1.5,
            ),
            "spans": lambda: charts.spans(
                {"Slow": [(8.0, 12.0)], "Down": []},
                shaded={"kill": (7.0, 10.0)},
                groups={"Slow": "operation", "Down": "monitor"},
                name=name,
                title="Latency & load",
            ),
            "outcomes": lambda: charts.outcomes(
                {"a": recording, "b": recording},
                [fault],
                kinds=lambda table: table["ok"].map({True: "right", False: "wrong"}),
                order=["right", "wrong", "refused", "lost"],  # every hatch
                name=name,
                title="Latency & load",
            ),
            "scatter": lambda: charts.scatter(
                {
                    "a": pd.DataFrame(
                        {
                            "asked": recording.table["intended"][::10],
                            "took": recording.table["latency"][::10],
                            "kind": np.resize(["whole", "part", "rough", "none"], 300),
                        }
                    ),
                    "b": pd.DataFrame({"asked": [1.8e9], "took": [np.inf], "kind": ["whole"]}),
                },
                [fault],
                order=["whole", "part", "rough", "none"],  # every look
                theory={"a": ([1.8e9, 1.8e9 + 30], [0.01, 0.01])},
                name=name,
                title="Latency & load",
            ),
            "series": lambda: charts.series(
                {"a": ([0, 1, 12], [0, 3, 1]), "b": ([0, 12], [1, 1])},
                theory={"a": ([0, 2], [0, 2])},
                marks=[4.0],
                mark="arrivals change",
                faults=[Fault("kill", "predictor", 2, start=8.0)],
                name=name,
                title="Latency & load",
                y="jobs",
            ),
            "matrix": lambda: charts.matrix(
                {"kill": {"Slow": 0.4, "Down": 1.0}, "nothing": {"Slow": 0.0, "Down": 0.0}},
                name=name,
                title="Latency & load",
            ),
        }[kind]()

    return draw


@pytest.fixture(scope="module")
def first_drawn():
    return {}


@pytest.fixture
def drawn_once(make, first_drawn):
    """A chart of each kind that several tests look at; none of them changes it."""

    def draw(kind):
        if kind not in first_drawn:
            first_drawn[kind] = make(kind)
        return first_drawn[kind]

    return draw


every_kind = pytest.mark.parametrize(
    "kind",
    ["sweep", "timeline", "latency", "bars", "outcomes", "scatter", "series", "spans", "matrix"],
)


@every_kind
def test_chart_says_in_words_what_it_shows(drawn_once, kind):
    """A chart that is nothing to those who do not see it."""
    chart = drawn_once(kind)
    root = ElementTree.fromstring(chart.svg)
    assert root.get("role") == "img"
    title, words = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title.text == "Latency & load"
    assert len(words.text) > 20 and any(c.isdigit() for c in words.text)
    assert root.get("aria-labelledby").split() == [title.get("id"), words.get("id")]


@every_kind
def test_chart_takes_the_colours_of_the_page(drawn_once, kind):
    """Black text on a dark page, a white box around the chart, a font that is not there."""
    drawn = drawn_once(kind).svg
    assert "currentColor" in drawn
    allowed = {colour.lower() for colour in style.COLOURS}
    assert {c.lower() for c in re.findall(r"#[0-9a-fA-F]{6}\b", drawn)} <= allowed
    assert "DejaVu" not in drawn
    assert "<style" not in drawn  # its rules would be the whole page's
    assert "<text" in drawn


@every_kind
def test_two_charts_share_no_id(make, drawn_once, kind):
    """A chart that shows another one's clip path, because both call it the same."""
    one, two = drawn_once(kind).svg, make(kind, "two").svg
    ids = [set(re.findall(r'\bid="([^"]+)"', drawn)) for drawn in (one, two)]
    assert ids[0] and not ids[0] & ids[1]
    for drawn, own in zip((one, two), ids, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawn)) <= own


@every_kind
def test_no_group_says_nothing(drawn_once, kind):
    """Pages that are slow to open, for groups that draw nothing."""
    groups = list(ElementTree.fromstring(drawn_once(kind).svg).iter(f"{SVG}g"))
    assert all(group.attrib for group in groups)


@every_kind
def test_same_data_same_bytes(make, drawn_once, kind):
    """A book that differs from build to build."""
    assert make(kind).svg == drawn_once(kind).svg


@every_kind
def test_chart_loads_nothing(drawn_once, kind):
    """An image, font or script from elsewhere inside a chart."""
    drawn = drawn_once(kind).svg
    found = set(re.findall(r"https?://[^\"'\s]+", drawn))
    assert found <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert len(drawn) < 120_000


@pytest.mark.parametrize("kind", ["sweep", "timeline", "latency", "bars", "outcomes"])
def test_chart_shows_its_note(make, drawn_once, kind):
    """A chart of traffic that was late, and that says nothing of it."""
    # The note may be broken over lines.
    texts = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", make(kind, note="came late").svg))
    assert "came late" in texts
    assert "came late" not in drawn_once(kind).svg


@every_kind
def test_settings_are_left_alone(make, kind):
    """A reader's own plots that look different after one of ours."""
    before = dict(mpl.rcParams)
    make(kind)
    assert dict(mpl.rcParams) == before


@every_kind
def test_a_readers_settings_change_nothing(make, drawn_once, kind):
    """A matplotlibrc that asks for TeX, which is not there, or for other sizes and ticks."""
    expected = drawn_once(kind).svg
    # Of its style sheets this one differs from the defaults in most.
    with mpl.rc_context({**mpl.style.library["classic"], "text.usetex": True}):
        assert make(kind).svg == expected


@pytest.mark.parametrize("page", ["#ffffff", "#121212"])
def test_colours_stand_out_on_either_page(page):
    """A series that cannot be seen on white or on dark (WCAG 2.2, 1.4.11: 3 to 1)."""

    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    for colour in style.COLOURS:
        light, dark = sorted((luminance(colour), luminance(page)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3


def test_series_differ_in_more_than_colour():
    """Two series that a colour-blind reader cannot tell apart."""
    for looks in (style.MARKERS, style.DASHES):
        assert len({str(look) for look in looks}) == len(style.COLOURS)


def test_sweep_draws_the_theory_and_the_open_end(record):
    """Points without the curve they are compared with; an open interval drawn as closed."""
    points = {"a": {1: interval(0.01), 2: Interval(0.02, 0.015, float("inf"), 500, "s")}}
    plain = charts.sweep(points, name="x", title="t", y="y")
    with_theory = charts.sweep(points, name="x", title="t", y="y", theory={"a": lambda x: 0.01 * x})
    assert "theory" in with_theory.svg
    assert "theory" not in plain.svg
    closed = {"a": {1: interval(0.01), 2: interval(0.02)}}
    assert charts.sweep(closed, name="x", title="t", y="y").svg != plain.svg


def test_sweep_leaves_out_what_is_not_known():
    """A point at nan, or a chart without a point."""
    unknown = Interval(float("nan"), float("nan"), float("nan"), 3, "s", "too few")
    chart = charts.sweep({"a": {1: interval(0.01), 2: unknown}}, name="x", title="t", y="y")
    assert "nan" not in chart.svg
    assert "Not known: a at 2: too few." in chart.alt


def test_timeline_names_the_fault(make):
    """A shaded stretch that nobody can tell what it is."""
    chart = make("timeline")
    assert "kill predictor 2" in chart.svg
    assert "kill predictor 2 at 8 s" in chart.alt


def test_timeline_hatches_what_was_disturbed(record):
    """A neighbour's minute, told as the service's; a moment before the recording drawn in it."""
    begin = 1.8e9
    slices = pd.DataFrame({name: [0.0] * 3 for name in NUMBERS}).assign(culprit="make")
    slices = slices.assign(begin=[begin - 9, begin + 1, begin + 1.25], seconds=0.25, foreign=0.9)
    recording = replace(record(np.full(300, 0.01)), disturbance=Disturbance(slices))
    chart = charts.timeline(recording, name="x", title="t", deadline=0.1)
    assert "the machine was disturbed" in chart.svg
    assert chart.alt.count("Disturbed from") == 1 and "Disturbed from 1 to 1.5 s." in chart.alt
    quiet = charts.timeline(record(np.full(300, 0.01)), name="x", title="t", deadline=0.1)
    assert "isturbed" not in quiet.svg


def test_timeline_without_correct_answers(record):
    """A service that answered nothing at all, which is when one looks at the chart."""
    chart = charts.timeline(record(np.ones(300), ok=False), name="x", title="t", deadline=0.1)
    assert "errors at most 100/s" in chart.alt


@pytest.mark.parametrize("labels", [0, 5])
def test_too_many_series_are_refused(labels):
    """A fifth series in the colour of the first."""
    points = {str(i): {1: interval(0.01)} for i in range(labels)}
    with pytest.raises(ValueError, match="series"):
        charts.sweep(points, name="x", title="t", y="y")


def test_mixed_units_and_unknown_labels_are_refused():
    """Seconds and ratios on one axis; a theory for a series that is not there."""
    with pytest.raises(ValueError, match="one unit"):
        charts.bars({"a": interval(1), "b": Interval.exact(2, "ratio")}, name="x", title="t")
    with pytest.raises(ValueError, match="No series"):
        charts.sweep({"a": {1: interval(1)}}, name="x", title="t", y="y", knees={"b": 1})


@pytest.mark.parametrize("name", ["", "P99", "a b", "-a", "a--b", "a/b"])
def test_names_fit_files_and_pages(name):
    """A figure that no page can ask for and no file system can hold."""
    with pytest.raises(ValueError, match="no name"):
        charts.bars({"a": interval(1)}, name=name, title="t")


def test_a_span_runs_forwards():
    """A bar drawn backwards, which looks like one that was never on."""
    with pytest.raises(ValueError, match="end at 1"):
        charts.spans({"Slow": [(2.0, 1.0)]}, shaded={}, name="spans", title="Alarms")


def test_a_thing_that_was_never_on_keeps_its_row():
    """An alarm that stayed silent, left out as if there were none."""
    drawn = charts.spans(
        {"Slow": [(1.0, 2.0)], "Down": []}, shaded={"kill": (1.0, 3.0)}, name="s", title="Alarms"
    )
    assert "Down: never" in drawn.alt
    assert "Down" in drawn.svg


@pytest.mark.parametrize(
    "values", [{}, {"a": {}}, {"a": {"x": 0.1}, "b": {"y": 0.1}}, {"a": {"x": 1.2}}]
)
def test_a_matrix_is_whole_and_of_shares(values):
    """Cells under the wrong column, or a colour off the scale."""
    with pytest.raises(ValueError, match=r"column|0 to 1"):
        charts.matrix(values, name="matrix", title="Who finds what")


def test_a_sweep_over_several_orders_of_magnitude_may_have_a_logarithmic_axis():
    """All points but the last in one heap at the left-hand edge."""
    points = {"a": {10.0: interval(0.1), 10_000.0: interval(0.2)}}
    drawn = charts.sweep(
        points, name="s", title="t", y="y", theory={"a": lambda at: 0.1}, log_x=True
    )
    assert "1,000" in drawn.svg


def test_outcomes_are_counted_and_stand_on_each_other(record):
    """A kind that is not drawn, or counted in a bin that is not its own."""
    recording = record([0.01] * 400, kind=["right"] * 200 + ["wrong"] * 200)
    drawn = charts.outcomes(
        {"a": recording},
        kinds=lambda table: table["kind"],
        order=["right", "wrong", "lost"],
        name="o",
        title="t",
    )
    assert "200 right, 200 wrong, 0 lost" in drawn.alt


def test_series_tell_what_was_there_and_what_was_expected():
    """A line whose theory is that of another, or that is not told to those who do not see it."""
    at = [0.1, 1.0, 10.0]
    lines = {"staged": (at, [0.0, 0.9, 0.8]), "rough": (at, [0.5, 0.5, 0.5])}
    kept = {"name": "s", "title": "t", "y": "worth", "unit": "share"}
    drawn = charts.series(lines, theory={"staged": (at, [0, 1, 1])}, log_x=True, **kept)
    assert "staged: 0 % at first, at most 90.0 %, 80.0 % at the end." in drawn.alt
    assert drawn.alt.count("Theory: ") == 1
    with pytest.raises(ValueError, match="No series is called fast"):
        charts.series(lines, theory={"fast": (at, at)}, **kept)


def test_a_line_in_pieces_is_told_piece_by_piece():
    """A night whose end is lost to those who do not see the chart, or that hangs on the next."""
    at, shares = [0, 1, 1, 2, 3], [0.0, 0.7, np.nan, 0.2, 1.0]
    drawn = charts.series({"fresh": (at, shares)}, unit="share", name="s", title="t", y="fresh")
    assert "0 % at first, at most 70.0 %, 70.0 % at the end; then 20.0 % at first" in drawn.alt


def test_a_series_names_what_happened_where_its_x_begins():
    """A change at the wrong moment, untold, or with an end where it has none."""
    changes = [Change("night", "", 100.0, 100.0), Fault("kill", "job", None, 101.0, 102.0)]
    line = {"age": ([0.0, 3.0], [0.0, 3.0])}
    kept = {"name": "s", "title": "t", "y": "age"}
    drawn = charts.series(line, faults=changes, begin=100.0, **kept)
    assert "night at 0 s. kill job at 1 s until 2 s." in drawn.alt
    assert ">night</text>" in drawn.svg and ">kill job</text>" in drawn.svg
    elsewhere = charts.series(line, faults=changes, **kept)  # long before
    assert "night" not in elsewhere.alt and "kill" not in elsewhere.svg


def test_what_only_begins_does_not_look_like_a_fault():
    """Nights whose beginnings pass for faults, and a legend that names neither."""
    nights = [Change("healthy", "", 100.0, 100.0), Change("wait", "", 102.0, 102.0)]
    faults = [*nights, Change("failed", "", 101.0, 101.5)]
    line = {"fresh": ([0.0, 3.0], [0.0, 3.0])}
    kept = {"faults": faults, "begin": 100.0, "name": "s", "title": "t", "y": "fresh"}
    plain = charts.series(line, **kept)
    told = charts.series(line, mark="a night begins", shaded="failed, not mended", **kept)
    assert ">a night begins</text>" in told.svg and ">failed, not mended</text>" in told.svg
    dashed = [drawn.svg.count("stroke-dasharray") for drawn in (plain, told)]
    assert dashed[1] - dashed[0] == len(nights) + 1  # and one in the legend
    assert told.alt == plain.alt and ">wait</text>" in told.svg


@pytest.mark.parametrize("log_x", [False, True])
def test_the_name_of_a_fault_stays_inside_of_any_axis(log_x):
    """A name out of the picture, because the axis does not begin at 0."""
    axes = Figure().add_subplot(xscale="log" if log_x else "linear")
    faults = [Fault("kill", "job", None, 90.0, 101.5), Fault("kill", "job", None, 108.0, 109.0)]
    name_faults(axes, faults, 100.0, 110.0, limits=(5.0, 10.0))
    late = Fault("kill", "job", None, 109.5, None)
    name_faults(axes, [late], 100.0, 110.0, limits=(5.0, 10.0))
    placed = [
        (name.xy[0], name.get_horizontalalignment())
        for name in axes.texts
        if isinstance(name, Annotation)
    ]
    assert placed == [(5.0, "left"), (8.0, "left"), (9.5, "right")]
    line = {"age": ([1.0, 3.0], [0.0, 3.0])}
    drawn = charts.series(
        line, faults=faults, begin=100.0, log_x=log_x, name="s", title="t", y="age"
    )
    assert drawn.svg.count(">kill job</text>") == 1


# --- scatter -------------------------------------------------------------------------------------


def points(**columns):
    return pd.DataFrame({"asked": [100.0, 101.0, 102.0], "took": 0.01, "kind": "whole"} | columns)


def test_each_answer_is_a_point_of_its_kind():
    """An answer that is counted as another, or that never came and looks as if it had."""
    panels = {
        "now": points(took=[0.01, 2.0, np.inf], kind=["whole", "whole", "part"]),
        "later": points(asked=[200.0, 201.0, 202.0]),
    }
    pause = Fault("pause", "worker", None, 200.5, 201.5)
    drawn = charts.scatter(panels, [pause], order=["whole", "part"], name="s", title="t")
    assert "now: 2 whole, after 10.0 ms to 2.00 s; 0 part, 1 never." in drawn.alt
    assert "later: 3 whole, after 10.0 ms to 10.0 ms." in drawn.alt
    assert drawn.svg.count(">pause worker</text>") == 1  # in the panel whose time it is in
    assert ">never came</text>" in drawn.svg
    all_came = charts.scatter({"a": points()}, order=["whole", "part"], name="s", title="t")
    assert "never" not in all_came.svg and ">part</text>" not in all_came.svg


def test_theory_of_a_scatter_stands_at_the_moments_it_is_for():
    """A curve of another panel, or one that nobody can tell from what was measured."""
    panels = {"a": points(), "b": points()}
    kept = {"order": ["whole"], "name": "s", "title": "t"}
    plain = charts.scatter(panels, **kept).svg
    explained = charts.scatter(panels, theory={"b": ([100.0, 102.0], [0.01, 0.02])}, **kept).svg
    assert ">line: theory</text>" in explained and "theory" not in plain
    with pytest.raises(ValueError, match="No series is called c"):
        charts.scatter(panels, theory={"c": ([100.0], [0.01])}, **kept)


def test_theory_of_a_scatter_is_within_its_axis():
    """A curve that is cut off, or that leaves the panel, as if theory had said nothing there."""
    kept = {"order": ["whole"], "name": "s", "title": "t"}
    near = charts.scatter({"a": points()}, theory={"a": ([100.0, 102.0], [0.01, 0.01])}, **kept)
    far = charts.scatter({"a": points()}, theory={"a": ([100.0, 102.0], [0.01, 50.0])}, **kept)
    assert ">10 s</text>" in far.svg and ">10 s</text>" not in near.svg


def test_a_scatter_tells_theory_and_faults():
    """What explains the points, told only to those who see them."""
    pause = Fault("pause", "worker", None, 100.5, 101.5)
    theory = {"a": ([100.0, 102.0], [0.01, 0.02])}
    kept = {"order": ["whole"], "name": "s", "title": "t"}
    words = charts.scatter({"a": points()}, [pause], theory=theory, **kept).alt
    assert "Theory: 10.0 ms at first, at most 20.0 ms, 20.0 ms at the end." in words
    assert "Fault: pause worker at 0.5 s until 1.5 s." in words


def test_an_answer_without_a_place_in_a_scatter_is_told():
    """Points that vanish on the logarithmic axis, and are counted all the same."""
    panels = {"a": points(took=[np.nan, 0.0, 0.01])}
    words = charts.scatter(panels, order=["whole"], name="s", title="t").alt
    assert "a: 1 whole, after 10.0 ms to 10.0 ms." in words
    assert "Not known: how long 2 of 3 answers of a took: no time above 0." in words


def test_a_scatter_without_an_answer_says_so():
    """Axes that reach to infinity, or an empty panel that looks like a calm time."""
    silent = {"a": points(took=np.inf), "b": points().head(0)}
    drawn = charts.scatter(silent, order=["whole"], name="s", title="t")
    assert "a: 0 whole, 3 never." in drawn.alt and "Not known: b: nobody asked." in drawn.alt


def test_a_scatter_of_unknown_or_too_many_kinds_is_refused():
    """Points that are left out, or colours that repeat."""
    with pytest.raises(ValueError, match="No kind is called whole"):
        charts.scatter({"a": points()}, order=["part"], name="s", title="t")
    with pytest.raises(ValueError, match="1 to 4 series"):
        charts.scatter({"a": points()}, order=["whole", *"abcd"], name="s", title="t")
    with pytest.raises(ValueError, match="1 to 4 series"):
        charts.scatter({}, order=["whole"], name="s", title="t")


# --- strips --------------------------------------------------------------------------------------


def test_a_strip_shows_the_states_that_decide_an_outcome(record):
    """A chart without its states, with a strip for nothing, or with a state that is left out."""
    recording = record([0.01] * 400, begin=100.0, kind="right")

    def drawn(changes, label="a"):
        return charts.outcomes(
            {"a": recording, "b": recording},
            kinds=lambda table: table["kind"],
            order=["right"],
            name="o",
            title="t",
            strips={label: changes},
            states=("closed", "half-open", "open"),
        )

    changes = [(101.0, "open"), (102.0, "half-open"), (102.1, "closed")]
    assert drawn(changes).svg.count("half-open") == 1
    assert drawn(changes).svg != drawn(changes[:1]).svg != drawn([]).svg
    assert drawn([(99.0, "open")]).svg != drawn([]).svg  # open from before the first request on
    with pytest.raises(ValueError, match="ajar"):
        drawn([(101.0, "ajar")])
    with pytest.raises(ValueError, match="No series is called c"):
        drawn([], label="c")


def test_an_outcome_without_a_place_is_refused(record):
    """Requests that are left out of a chart of all requests, or colours that repeat."""
    recording = record([0.01] * 40, kind=["right"] * 39 + ["odd"])
    for order, said in ((["right"], "odd"), (list("abcde"), "1 to 4 kinds")):
        with pytest.raises(ValueError, match=said):
            charts.outcomes(
                {"a": recording}, kinds=lambda t: t["kind"], order=order, name="o", title="t"
            )


def test_an_upright_line_says_what_it_marks():
    """Every upright line of the book is called a knee; or its place is told to nobody."""
    points, lines = {"a": {1: interval(1.0), 2: interval(2.0)}}, {"a": 1.25}
    usual = charts.sweep(points, name="x", title="t", y="y", knees=lines).svg
    named = charts.sweep(points, name="x", title="t", y="y", knees=lines, knee="best").svg
    assert "a: predicted knee at 1.25." in usual and ">predicted knee</text>" in usual
    assert "a: best at 1.25." in named and ">best</text>" in named and "knee" not in named
