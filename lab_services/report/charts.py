"""The charts of the labs, in one style: sweep, timeline, latency, bars, outcomes, spans, matrix.

Each function returns a `Chart`: put it last in a cell, or `display` it, and the notebook shows it
and the run keeps it under its name. Colours have a contrast of 3:1 and more on white and on the
book's dark page and differ for colour-blind readers; markers and dashes differ as well. A point
with a note is drawn hollow, and the note is written under the chart.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab_services.report import drawing, numbers
from lab_services.report.drawing import COLOURS, DASHES, MARK, MARKERS, SIZES, WIDTH, Chart
from lab_services.report.outcomes import outcomes
from lab_services.report.spans import matrix, spans
from lab_services.report.stats import Interval, Recorded, note, requests_needed, rows
from lab_services.report.svg import INK
from lab_services.report.timeline import timeline

__all__ = ["Chart", "bars", "latency", "matrix", "outcomes", "spans", "sweep", "timeline"]


def sweep(
    points: Mapping[str, Mapping[float, Interval]],
    *,
    name: str,
    title: str,
    y: str,
    x: str = "offered load (requests/s)",
    theory: Mapping[str, Callable[[float], float]] | None = None,
    knees: Mapping[str, float] | None = None,
    knee: str = "predicted knee",
    log: bool = True,
    log_x: bool = False,
) -> Chart:
    """A measured value against what was varied, one series a label, with the theory's curve.

    `points["2 workers"][150.0]` is an interval measured at 150; values that are not known are
    left out. `theory["2 workers"]` gives the expected value at an x, in the unit of the points
    (infinite where there is none); `knees["2 workers"]` is the x of its upright line, and `knee`
    says what that marks. `log` is for the y axis, `log_x` for the x axis. Raises ValueError when no
    point is known, when units differ, and for a label of theory or knees without points.

    >>> sweep({"1 worker": {50: P99(a), 100: P99(b)}}, name="p99", title="Latency", y="p99")
    """
    theory, knees = theory or {}, knees or {}
    drawing.check_labels(points, theory, knees)
    unit = _one_unit([interval for series in points.values() for interval in series.values()])
    with drawing.style(name):
        figure = Figure(figsize=(WIDTH, 3.9))
        axes = figure.add_subplot()
        shown = [interval for series in points.values() for interval in _shown(series).values()]
        _limits(axes, shown, log)
        if log_x:
            axes.set_xscale("log")
        legend = []
        for index, (label, series) in enumerate(points.items()):
            look: dict[str, Any] = {
                "color": COLOURS[index],
                "marker": MARKERS[index],
                "ms": SIZES[index],
                # The theory's curve takes the place of the line from point to point.
                "ls": "none" if label in theory else DASHES[index],
            }
            _draw_points(axes, _shown(series), look)
            if label in theory:
                look["ls"] = DASHES[index]
                _draw_theory(axes, theory[label], series, look, log_x)
            legend.append(Line2D([], [], **look, label=label))
            if label in knees:
                axes.axvline(knees[label], **{**MARK, "color": COLOURS[index]})
        if theory:
            legend.append(Line2D([], [], color=INK, label="line: theory"))
        if knees:
            legend.append(Line2D([], [], **MARK, label=knee))
        drawing.unit_axis(axes, "y", unit)
        if log_x:
            drawing.unit_axis(axes, "x", "")
        axes.set_ylabel(y)
        drawing.noted(axes, x, (interval.note for interval in shown), "Hollow")
        words = [_in_words(label, series) for label, series in points.items()]
        words += [f"{label}: {knee} at {at:.3g}." for label, at in knees.items()]
        return drawing.finish(figure, name, title, f"{y} against {x}. {' '.join(words)}", legend)


def latency(
    recordings: Mapping[str, Recorded],
    *,
    name: str,
    title: str,
    deadline: float | None = None,
) -> Chart:
    """How many correct answers are slower than a latency: the tail is the right-hand end.

    Curves end where fewer than ten requests are slower. `deadline` in seconds is marked. Raises
    ValueError for a recording of fewer than twenty correct answers.

    >>> latency({"hit": hits, "miss": misses}, name="latency", title="Cached and not")
    """
    drawing.check_labels(recordings)
    with drawing.style(name):
        figure = Figure(figsize=(WIDTH, 3.6))
        axes = figure.add_subplot()
        axes.set(xscale="log", yscale="log")
        legend, words = [], []
        for index, (label, recording) in enumerate(recordings.items()):
            table = rows(recording)
            values = np.sort(table.loc[table["ok"].astype(bool), "latency"].to_numpy(dtype=float))
            if len(values) < requests_needed(0.5):
                raise ValueError(f"{label}: {len(values)} correct answers are too few.")
            slower = 1 - np.arange(1, len(values) - 9) / len(values)
            thin = _even_in_log(slower)
            look: dict[str, Any] = {"color": COLOURS[index], "ls": DASHES[index]}
            axes.plot(values[thin], slower[thin], **look)
            legend.append(Line2D([], [], label=label, **look))
            words.append(f"{label}: {_quantiles_in_words(values)}.")
        if deadline is not None:
            axes.axvline(deadline, **MARK)
            legend.append(Line2D([], [], **MARK, label="deadline"))
        drawing.unit_axis(axes, "x", "s")
        drawing.unit_axis(axes, "y", "share")
        axes.set_ylabel("share that is slower")
        drawing.noted(axes, "latency", (note(recording) for recording in recordings.values()))
        alt = "Share of correct answers that are slower than a latency. " + " ".join(words)
        return drawing.finish(figure, name, title, alt, legend)


def bars(
    values: Mapping[str, Interval],
    *,
    name: str,
    title: str,
    bound: float | None = None,
) -> Chart:
    """One bar a label, with its interval and its value in writing; all in one unit.

    `bound` draws the line that a claim sets. Raises ValueError when units differ.

    >>> bars({"blind": ERRORS(a), "checked": ERRORS(b)}, name="lost", title="Requests lost")
    """
    unit = _one_unit(list(values.values()))
    with drawing.style(name):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.55 * len(values)))
        axes = figure.add_subplot()
        for row, (label, interval) in enumerate(values.items()):
            at = -float(row)
            # x as a share of the chart's width, y in rows
            place = axes.get_yaxis_transform()
            axes.text(0, at + 0.28, label, ha="left", va="bottom", transform=place)
            axes.text(1, at + 0.28, str(interval), ha="right", va="bottom", transform=place)
            if math.isnan(interval.value):
                continue
            axes.barh(
                at,
                interval.value,
                height=0.42,
                facecolor="none" if interval.note else COLOURS[0],
                edgecolor=COLOURS[0],
                linewidth=1.4,
            )
            ends = [end for end in (interval.low, interval.high) if math.isfinite(end)]
            if interval.low != interval.high:
                axes.plot(ends, [at] * len(ends), color=INK, lw=1.4, marker="|", ms=8, mew=1.4)
            if bound is not None:
                axes.plot([bound, bound], [at - 0.25, at + 0.25], color=INK, lw=1.8)
        axes.set(ylim=(0.6 - len(values), 0.9), yticks=[])
        left, right = axes.get_xlim()
        axes.set_xlim(min(0.0, left), right)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        drawing.unit_axis(axes, "x", unit)
        legend = []
        if bound is not None:
            legend = [Line2D([], [], color=INK, marker="|", ls="none", ms=11, label="claimed")]
        drawing.noted(axes, "", (interval.note for interval in values.values()), "Hollow")
        alt = "; ".join(f"{label}: {interval}" for label, interval in values.items())
        return drawing.finish(figure, name, title, f"{alt}.", legend)


def _one_unit(intervals: list[Interval]) -> str:
    units = {interval.unit for interval in intervals}
    if len(units) != 1:
        raise ValueError(f"One axis shows one unit, not {sorted(units)}.")
    return units.pop()


def _shown(series: Mapping[float, Interval]) -> dict[float, Interval]:
    return {at: series[at] for at in sorted(series) if not math.isnan(series[at].value)}


def _limits(axes: Axes, shown: list[Interval], log: bool) -> None:
    """The measured decides what is in view, not the theory, which goes to infinity."""
    ends = [end for i in shown for end in (i.low, i.value, i.high) if math.isfinite(end)]
    if log:
        ends = [end for end in ends if end > 0]
    if not ends:
        raise ValueError("No point is known: each has too few requests.")
    if log:
        axes.set_yscale("log")
        axes.set_ylim(min(ends) / 1.5, max(ends) * 1.5)
    else:
        axes.set_ylim(min(0.0, *ends), max(*ends, 0.0) * 1.08 or 1.0)


def _draw_points(axes: Axes, series: Mapping[float, Interval], look: Mapping[str, Any]) -> None:
    """Points with their intervals; an open end reaches the edge of the chart, with an arrow."""
    colour = look["color"]
    axes.plot(list(series), [i.value for i in series.values()], color=colour, ls=look["ls"], lw=1.2)
    bottom, top = axes.get_ylim()
    for at, interval in series.items():
        low, high = max(interval.low, bottom), min(interval.high, top)
        axes.plot([at, at], [low, high], color=colour, lw=1.2)
        if math.isinf(interval.high):
            axes.plot(at, top, marker=6, color=colour, clip_on=False, ms=5)
        face = "none" if interval.note else colour
        point = {**look, "ls": "none", "mfc": face, "mew": 1.3}
        axes.plot(at, interval.value, **point)


def _draw_theory(
    axes: Axes,
    expected: Callable[[float], float],
    series: Mapping[float, Interval],
    look: Mapping[str, Any],
    log_x: bool,
) -> None:
    at = (np.geomspace if log_x else np.linspace)(min(series), max(series), 121)
    values = np.array([expected(float(one)) for one in at])
    values[~np.isfinite(values)] = np.nan
    axes.plot(at, values, color=look["color"], ls=look["ls"])


def _even_in_log(slower: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Positions of at most 200 points, evenly spaced on the logarithmic axis."""
    wanted = np.geomspace(slower[0], slower[-1], 200)
    places = np.searchsorted(-slower, -wanted)
    return np.unique(np.clip(places, 0, len(slower) - 1))


def _in_words(label: str, series: Mapping[float, Interval]) -> str:
    text = ", ".join(
        f"{numbers.written(i.value, i.unit, i.low, i.high)} at {at:g}"
        for at, i in _shown(series).items()
    )
    return f"{label}: {text or 'too few requests'}."


def _quantiles_in_words(values: npt.NDArray[np.float64]) -> str:
    told = [q for q in (0.5, 0.95, 0.99) if len(values) >= requests_needed(q)]
    return ", ".join(
        f"p{q * 100:g} {numbers.written(float(np.quantile(values, q)), 's')}" for q in told
    )
