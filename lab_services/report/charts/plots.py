"""A measured value against what was varied, latencies of a recording, values side by side."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab_services.report import numbers
from lab_services.report.charts import style
from lab_services.report.charts.style import (
    COLOURS,
    DASHES,
    MARK,
    MARKERS,
    SIZES,
    WIDTH,
    Chart,
)
from lab_services.report.charts.svg import INK
from lab_services.report.stats import Interval, Recorded, note, requests_needed, rows

# The places on the x axis, and the expected values, nan where there is none.
Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


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

    `points["2 workers"][150.0]` is an interval measured at 150; what is not known has a question
    mark there and its reason under the chart. `theory["2 workers"]` gives the expected value at an
    x, in the unit of the points (infinite where there is none); `knees["2 workers"]` is the x of
    its upright line, and `knee` says what that marks. `log` is for the y axis, `log_x` for the x
    axis. Raises ValueError without a point, known or not, when units differ, and for a label of
    theory or knees without points.

    >>> sweep({"1 worker": {50: P99(a), 100: P99(b)}}, name="p99", title="Latency", y="p99")
    """
    theory, knees = theory or {}, knees or {}
    style.check_labels(points, theory, knees)
    unit = _one_unit([interval for series in points.values() for interval in series.values()])
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 3.9))
        axes = figure.add_subplot()
        shown = [interval for series in points.values() for interval in _shown(series).values()]
        curves = {
            label: _curve(theory[label], points[label], log_x)
            for label in points
            if label in theory
        }
        _limits(axes, shown, [*curves.values()], log)
        if log_x:
            axes.set_xscale("log")
        legend, missing = [], []
        for index, (label, series) in enumerate(points.items()):
            look: dict[str, Any] = {
                "color": COLOURS[index],
                "marker": MARKERS[index],
                "ms": SIZES[index],
                # The theory's curve takes the place of the line from point to point.
                "ls": "none" if label in theory else DASHES[index],
            }
            _draw_points(axes, _shown(series), look)
            _draw_gaps(axes, series, index)
            missing += _gaps(label, series)
            if label in curves:
                line = style.theory(COLOURS[index], DASHES[index])
                axes.plot(*curves[label], **line)
                look |= line
                if not np.isfinite(curves[label][1]).any():
                    missing.append(style.gap(f"the theory of {label}, here"))
            legend.append(Line2D([], [], **look, label=label))
            if label in knees and math.isfinite(knees[label]):
                axes.axvline(knees[label], **{**MARK, "color": COLOURS[index]})
            elif label in knees:
                missing.append(style.gap(f"the {knee} of {label}"))
        if any(np.isfinite(curve).any() for _, curve in curves.values()):
            legend.append(Line2D([], [], **style.theory(), label="line: theory"))
        if any(map(math.isfinite, knees.values())):
            legend.append(Line2D([], [], **MARK, label=knee))
        style.unit_axis(axes, "y", unit)
        if log_x:
            style.unit_axis(axes, "x", "")
        axes.set_ylabel(y)
        style.noted(axes, x, (interval.note for interval in shown), "Hollow", missing)
        words = [_in_words(label, series) for label, series in points.items() if _shown(series)]
        words += [
            f"{label}: {knee} at {at:.3g}." for label, at in knees.items() if math.isfinite(at)
        ]
        alt = style.in_words(f"{y} against {x}.", [*words, *missing])
        return style.finish(figure, name, title, alt, legend)


def latency(
    recordings: Mapping[str, Recorded],
    *,
    name: str,
    title: str,
    deadline: float | None = None,
) -> Chart:
    """How many correct answers are slower than a latency: the tail is the right-hand end.

    Curves end where fewer than ten requests are slower. `deadline` in seconds is marked. A
    recording of fewer than twenty correct answers has no curve, and the chart says so.

    >>> latency({"hit": hits, "miss": misses}, name="latency", title="Cached and not")
    """
    style.check_labels(recordings)
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 3.6))
        axes = figure.add_subplot()
        axes.set(xscale="log", yscale="log")
        legend, words, missing = [], [], []
        for index, (label, recording) in enumerate(recordings.items()):
            table = rows(recording)
            values = np.sort(table.loc[table["ok"].astype(bool), "latency"].to_numpy(dtype=float))
            look: dict[str, Any] = {"color": COLOURS[index], "ls": DASHES[index]}
            legend.append(Line2D([], [], label=label, **look))
            if len(values) < (needed := requests_needed(0.5)):
                reason = f"{len(values)} of the {needed} correct answers that a curve needs"
                missing.append(style.gap(label, reason))
                continue
            words.append(f"{label}: {_quantiles_in_words(values)}.")
            slower = 1 - np.arange(1, len(values) - 9) / len(values)
            thin = _even_in_log(slower)
            # Some clocks tell a short time as none, which has no place on this axis.
            thin = thin[values[thin] > 0]
            if len(thin):
                axes.plot(values[thin], slower[thin], **look)
            else:
                missing.append(style.gap(f"the curve of {label}", "no latency is above 0"))
        if not axes.lines:
            axes.set(xlim=(1e-3, 10.0), ylim=(0.01, 1.0))
        if deadline is not None and math.isnan(deadline):
            missing.append(style.gap("the deadline"))
        elif deadline is not None and math.isfinite(deadline):
            axes.axvline(deadline, **MARK)
            legend.append(Line2D([], [], **MARK, label="deadline"))
        style.unit_axis(axes, "x", "s")
        style.unit_axis(axes, "y", "share")
        axes.set_ylabel("share that is slower")
        notes = (note(recording) for recording in recordings.values())
        style.noted(axes, "latency", notes, missing=missing)
        shown = "Share of correct answers that are slower than a latency."
        alt = style.in_words(shown, [*words, *missing])
        return style.finish(figure, name, title, alt, legend)


def bars(
    values: Mapping[str, Interval],
    *,
    name: str,
    title: str,
    bound: float | None = None,
) -> Chart:
    """One bar a label, with its interval and its value in writing; all in one unit.

    `bound` draws the line that a claim sets. What is not known has no bar, and its reason is under
    the chart. Raises ValueError without a bar, and when units differ.

    >>> bars({"blind": ERRORS(a), "checked": ERRORS(b)}, name="lost", title="Requests lost")
    """
    unit = _one_unit(list(values.values()))
    known = {label: interval for label, interval in values.items() if interval.known}
    missing = [style.gap(label, i.note) for label, i in values.items() if not i.known]
    if bound is not None and not math.isfinite(bound):
        missing.append(style.gap("the bound of the claim"))
        bound = None
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.55 * len(values)))
        axes = figure.add_subplot()
        for row, (label, interval) in enumerate(values.items()):
            at = -float(row)
            # x as a share of the chart's width, y in rows
            place = axes.get_yaxis_transform()
            axes.text(0, at + 0.28, label, ha="left", va="bottom", transform=place)
            said = str(interval) if interval.known else numbers.UNKNOWN
            axes.text(1, at + 0.28, said, ha="right", va="bottom", transform=place)
            if not interval.known:
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
        style.unit_axis(axes, "x", unit)
        if not known:
            axes.set_xticks([])
        legend = []
        if bound is not None:
            legend = [Line2D([], [], color=INK, marker="|", ls="none", ms=11, label="claimed")]
        style.noted(axes, "", (i.note for i in known.values()), "Hollow", missing)
        words = "; ".join(f"{label}: {interval}" for label, interval in known.items())
        alt = style.in_words(f"{words or 'No number is known'}.", missing)
        return style.finish(figure, name, title, alt, legend)


def _one_unit(intervals: list[Interval]) -> str:
    # What is not known may not know its unit either.
    units = {interval.unit for interval in intervals if interval.known or interval.unit}
    if intervals and not units:
        return ""
    if len(units) != 1:
        raise ValueError(f"One axis shows one unit, not {sorted(units)}.")
    return units.pop()


def _shown(series: Mapping[float, Interval]) -> dict[float, Interval]:
    return {at: series[at] for at in _places(series) if series[at].known}


def _places(series: Mapping[float, Interval]) -> list[float]:
    """Where on the x axis something was measured; what was varied may be unknown itself."""
    return sorted(at for at in series if math.isfinite(at))


def _gaps(label: str, series: Mapping[float, Interval]) -> list[str]:
    """The points that are missing, in words; those whose reasons differ in a number together."""
    if not series:
        return [style.gap(label, "nothing was measured")]
    alike: dict[str, list[float]] = {}
    for at in _places(series):
        if not series[at].known:
            alike.setdefault(re.sub(r"\d+", "", series[at].note), []).append(at)
    missing = []
    for places in alike.values():
        reasons = list(dict.fromkeys(series[at].note for at in places))
        others = f"; at {places[-1]:g}: {reasons[-1]}" if len(reasons) > 1 else ""
        where = ", ".join(f"{at:g}" for at in places)
        missing.append(style.gap(f"{label} at {where}", reasons[0] + others))
    if any(not math.isfinite(at) for at in series):
        missing.append(style.gap(label, "a place on the axis is not known"))
    return missing


def _draw_gaps(axes: Axes, series: Mapping[float, Interval], index: int) -> None:
    """A question mark at the foot of the chart for each point that is not known."""
    at = [at for at in _places(series) if not series[at].known]
    if at:  # what is empty has no extent to lay the chart out by
        foot = [0.05 + 0.08 * index] * len(at)
        place = axes.get_xaxis_transform()
        axes.plot(at, foot, color=COLOURS[index], marker="$?$", ls="none", ms=8, transform=place)


def _limits(axes: Axes, shown: list[Interval], curves: list[Curve], log: bool) -> None:
    """The measured decides what is in view, not the theory, which goes to infinity."""
    ends = [end for i in shown for end in (i.low, i.value, i.high) if math.isfinite(end)]
    # Where nothing is known, the theory is all there is.
    ends = ends or [float(y) for _, curve in curves for y in curve if math.isfinite(y)]
    positive = [end for end in ends if end > 0]
    if not ends:
        axes.set_yticks([])
    elif log and positive:
        axes.set_yscale("log")
        axes.set_ylim(min(positive) / 1.5, max(positive) * 1.5)
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
        if math.isinf(interval.low):
            axes.plot(at, bottom, marker=7, color=colour, clip_on=False, ms=5)
        face = "none" if interval.note else colour
        point = {**look, "ls": "none", "mfc": face, "mew": 1.3}
        axes.plot(at, interval.value, **point)


def _curve(
    expected: Callable[[float], float], series: Mapping[float, Interval], log_x: bool
) -> Curve:
    places = _places(series)
    if not places:
        return np.empty(0), np.empty(0)
    at = (np.geomspace if log_x else np.linspace)(places[0], places[-1], 121)
    values = np.array([expected(float(one)) for one in at], dtype=float)
    values[~np.isfinite(values)] = np.nan
    return at, values


def _even_in_log(slower: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Positions of at most 200 points, evenly spaced on the logarithmic axis."""
    wanted = np.geomspace(slower[0], slower[-1], 200)
    places = np.searchsorted(-slower, -wanted)
    return np.unique(np.clip(places, 0, len(slower) - 1))


def _in_words(label: str, series: Mapping[float, Interval]) -> str:
    text = ", ".join(f"{_value_in_words(i)} at {at:g}" for at, i in _shown(series).items())
    return f"{label}: {text}."


def _value_in_words(interval: Interval) -> str:
    if math.isinf(interval.low) or math.isinf(interval.high):
        return str(interval)
    return numbers.written(interval.value, interval.unit, interval.low, interval.high)


def _quantiles_in_words(values: npt.NDArray[np.float64]) -> str:
    told = [q for q in (0.5, 0.95, 0.99) if len(values) >= requests_needed(q)]
    return ", ".join(
        f"p{q * 100:g} {numbers.written(float(np.quantile(values, q)), 's')}" for q in told
    )
