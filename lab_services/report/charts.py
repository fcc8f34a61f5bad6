"""The charts of the labs, in one style.

Each function returns a `Chart`: put it last in a cell, or `display` it, and the notebook shows it
and the run keeps it under its name. Colours have a contrast of 3:1 and more on white and on the
book's dark page and differ for colour-blind readers (Okabe and Ito); markers and dashes differ as
well. A measurement with a note is drawn hollow, and the note is written under the chart.
"""

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lab_services.report import numbers, svg
from lab_services.report.measurements import checked_name
from lab_services.report.stats import Interval, Recorded, note, requests_needed, rows
from lab_services.report.svg import INK

MIME = "application/vnd.lab-services.chart+json"

# Okabe and Ito, "Color Universal Design", 2008: those of their colours that are dark enough for a
# white page and light enough for a dark one.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_MARKERS = ("o", "s", "^", "D")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
WIDTH = 5.2  # inches: 10 point text is still 9 pixels high on a phone of 375
_LINE = 62  # characters that fit the width

_STYLE: Any = {
    **svg.SETTINGS,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.2,
    "legend.borderaxespad": 0.1,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.constrained_layout.use": True,
}


class FaultLike(Protocol):
    """What is needed of a fault: its times in Unix seconds, `end` None while it lasts."""

    kind: str
    service: str
    replica: int | None
    start: float
    end: float | None


@dataclass(frozen=True)
class Chart:
    """A chart: its name for the book, its title, the SVG, and what it shows in words."""

    name: str
    title: str
    svg: str
    alt: str

    def __repr__(self) -> str:
        return f"{self.title}. {self.alt}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {
            "text/plain": repr(self),
            "text/html": f'<div class="lab-chart">{self.svg}</div>',
            MIME: {"name": self.name, "title": self.title, "alt": self.alt},
        }


def sweep(
    points: Mapping[str, Mapping[float, Interval]],
    *,
    name: str,
    title: str,
    y: str,
    x: str = "offered load (requests/s)",
    theory: Mapping[str, Callable[[float], float]] | None = None,
    knees: Mapping[str, float] | None = None,
    log: bool = True,
) -> Chart:
    """A measured value against what was varied, one series a label, with the theory's curve.

    `points["2 workers"][150.0]` is an interval measured at 150; values that are not known are
    left out. `theory["2 workers"]` gives the expected value at an x, in the unit of the points
    (infinite where there is none); `knees["2 workers"]` is the x of its predicted knee.

    >>> sweep({"1 worker": {50: P99(a), 100: P99(b)}}, name="p99", title="Latency", y="p99")
    """
    theory, knees = theory or {}, knees or {}
    _known_labels(points, theory, knees)
    units = {interval.unit for series in points.values() for interval in series.values()}
    if len(units) != 1:
        raise ValueError(f"One axis shows one unit, not {sorted(units)}.")
    with _drawing(name):
        figure = Figure(figsize=(WIDTH, 3.9))
        axes = figure.add_subplot()
        shown = [interval for series in points.values() for interval in _shown(series).values()]
        if log:
            axes.set_yscale("log")
        _limits(axes, shown, log)
        handles = []
        for index, (label, series) in enumerate(points.items()):
            colour, marker = COLOURS[index], _MARKERS[index]
            joined = "none" if label in theory else "-"
            _intervals(axes, _shown(series), colour, marker, joined)
            handles.append(Line2D([], [], color=colour, marker=marker, ls=joined, label=label))
            if label in theory:
                _theory(axes, theory[label], series, _DASHES[index], colour)
            if label in knees:
                axes.axvline(knees[label], color=colour, ls=(0, (1, 2)), lw=1.3)
        if theory:
            handles.append(Line2D([], [], color=INK, label="theory"))
        if knees:
            handles.append(Line2D([], [], **_MARK, label="predicted knee"))
        _unit_axis(axes, "y", units.pop(), log)
        axes.set_ylabel(y)
        axes.set_xlabel(_under(x, (i.note for i in shown)))
        _head(figure, title, handles)
        alt = " ".join(
            _series_in_words(label, series, x, knees.get(label)) for label, series in points.items()
        )
        return _chart(figure, name, title, f"{y} against {x}. {alt}")


def latency(
    recordings: Mapping[str, Recorded],
    *,
    name: str,
    title: str,
    deadline: float | None = None,
) -> Chart:
    """How many correct answers are slower than a latency: the tail is the right-hand end.

    Curves end where fewer than ten requests are slower. `deadline` in seconds is marked.
    """
    _known_labels(recordings)
    with _drawing(name):
        figure = Figure(figsize=(WIDTH, 3.6))
        axes = figure.add_subplot()
        axes.set(xscale="log", yscale="log")
        handles, words = [], []
        for index, (label, recording) in enumerate(recordings.items()):
            table = rows(recording)
            values = np.sort(table.loc[table["ok"].astype(bool), "latency"].to_numpy(dtype=float))
            slower = 1 - np.arange(1, len(values) + 1) / len(values)
            kept = np.flatnonzero(slower * len(values) >= 10)
            if not len(kept):
                words.append(f"{label}: too few requests.")
                continue
            thin = kept[np.unique(_even_in_log(slower[kept]))]
            style = {"color": COLOURS[index], "ls": _DASHES[index]}
            axes.plot(values[thin], slower[thin], **style)
            handles.append(Line2D([], [], label=label, **style))
            words.append(f"{label}: {_quantiles_in_words(values)}.")
        if deadline is not None:
            axes.axvline(deadline, **_MARK)
            handles.append(Line2D([], [], **_MARK, label="deadline"))
        _unit_axis(axes, "x", "s", log=True)
        _unit_axis(axes, "y", "share", log=True)
        axes.set_ylabel("share that is slower")
        axes.set_xlabel(_under("latency", (note(r) for r in recordings.values())))
        _head(figure, title, handles)
        return _chart(figure, name, title, "Share of correct answers slower. " + " ".join(words))


def timeline(
    recordings: Recorded | Mapping[str, Recorded],
    faults: Iterable[FaultLike] = (),
    *,
    name: str,
    title: str,
    deadline: float,
    every: float = 1.0,
) -> Chart:
    """Latency, goodput and errors over time, with the faults shaded.

    Bins are `every` seconds long. Several recordings (a mapping of labels) are stacked, each from
    its own beginning, on equal axes; a fault is shaded in those it falls into. `deadline` in
    seconds decides goodput.
    """
    several = recordings if isinstance(recordings, Mapping) else {"": recordings}
    with _drawing(name):
        figure = Figure(figsize=(WIDTH, 0.9 + 2.7 * len(several)))
        panels = figure.subplots(
            2 * len(several), 1, sharex=True, squeeze=False, height_ratios=[1.3, 1] * len(several)
        )[:, 0]
        words = []
        for index, (label, recording) in enumerate(several.items()):
            table = rows(recording)
            begin = float(table["intended"].min())
            end = float(table["intended"].max())
            slow, rates = panels[2 * index], panels[2 * index + 1]
            bins = _binned(table, begin, every, deadline)
            _latencies(slow, bins, deadline)
            _rates(rates, bins)
            here = [f for f in faults if f.start < end and (f.end is None or f.end > begin)]
            for panel in (slow, rates):
                _shade(panel, here, begin, end, labelled=panel is slow)
            if label:
                slow.set_title(label, fontweight="bold", pad=16 if here else 6)
            words.append(_timeline_in_words(label, bins, here, begin))
        _same_limits(panels[0::2])
        _same_limits(panels[1::2])
        panels[-1].set_xlabel(_under("seconds", (note(r) for r in several.values())))
        handles = [
            Line2D([], [], color=COLOURS[0], label="median"),
            Line2D([], [], color=COLOURS[3], ls=_DASHES[1], lw=1.2, label="slowest"),
            Line2D([], [], **_MARK, label="deadline, offered"),
            Line2D([], [], color=COLOURS[2], drawstyle="steps-mid", label="goodput"),
            Line2D([], [], color=COLOURS[1], marker="x", ls="none", label="errors"),
        ]
        _head(figure, title, handles)
        return _chart(figure, name, title, " ".join(words))


def bars(
    values: Mapping[str, Interval],
    *,
    name: str,
    title: str,
    bound: float | None = None,
) -> Chart:
    """One bar a label, with its interval and its value in writing; all in one unit.

    `bound` draws the line that a claim sets.
    """
    units = {interval.unit for interval in values.values()}
    if len(units) != 1:
        raise ValueError(f"One axis shows one unit, not {sorted(units)}.")
    unit = units.pop()
    with _drawing(name):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.55 * len(values)))
        axes = figure.add_subplot()
        for row, (label, interval) in enumerate(values.items()):
            at = -float(row)
            axes.text(0, at + 0.3, label, ha="left", va="bottom")
            axes.text(1, at + 0.3, str(interval), ha="right", va="bottom", transform=_across(axes))
            if not math.isnan(interval.value):
                fill = {"color": COLOURS[0]} if not interval.note else _HOLLOW
                axes.barh(at, interval.value, height=0.42, **fill)
                ends = [end for end in (interval.low, interval.high) if math.isfinite(end)]
                axes.plot(ends, [at] * len(ends), color=INK, lw=1.4, marker="|", ms=7)
        if bound is not None:
            axes.axvline(bound, **_MARK)
        axes.set(ylim=(0.45 - len(values), 0.95), yticks=[])
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        _unit_axis(axes, "x", unit, log=False)
        handles = []
        if bound is not None:
            handles = [Line2D([], [], **_MARK, label="claimed bound")]
        axes.set_xlabel(_under("", (interval.note for interval in values.values())))
        _head(figure, title, handles)
        alt = "; ".join(f"{label}: {interval}" for label, interval in values.items())
        return _chart(figure, name, title, alt + ".")


# A line that is no measurement: a deadline, a bound, what was offered.
_MARK: dict[str, Any] = {"color": INK, "ls": (0, (1, 2)), "lw": 1.3}
_HOLLOW: dict[str, Any] = {"facecolor": "none", "edgecolor": COLOURS[0], "linewidth": 1.4}


@contextmanager
def _drawing(name: str) -> Iterator[None]:
    checked_name(name)
    with mpl.rc_context(_STYLE):
        yield


def _chart(figure: Figure, name: str, title: str, alt: str) -> Chart:
    return Chart(name, title, svg.inline(figure, name, title, alt), alt)


def _known_labels(series: Mapping[str, Any], *others: Mapping[str, Any]) -> None:
    if not 1 <= len(series) <= len(COLOURS):
        raise ValueError(f"A chart has 1 to {len(COLOURS)} series, not {len(series)}.")
    if unknown := {label for other in others for label in other} - set(series):
        raise ValueError(f"No series is called {', '.join(sorted(unknown))}.")


def _shown(series: Mapping[float, Interval]) -> dict[float, Interval]:
    return {at: series[at] for at in sorted(series) if not math.isnan(series[at].value)}


def _intervals(
    axes: Axes, series: Mapping[float, Interval], colour: str, marker: str, joined: str
) -> None:
    """Points with their intervals; an open end reaches the edge of the chart."""
    axes.plot(list(series), [i.value for i in series.values()], color=colour, ls=joined, lw=1.2)
    bottom, top = axes.get_ylim()
    for at, interval in series.items():
        low, high = max(interval.low, bottom), min(interval.high, top)
        axes.plot([at, at], [low, high], color=colour, lw=1.2)
        if math.isinf(interval.high):
            axes.plot(at, top, marker=6, color=colour, clip_on=False, ms=6)
        face = "none" if interval.note else colour
        axes.plot(at, interval.value, marker=marker, color=colour, mfc=face, mew=1.3)


def _limits(axes: Axes, shown: list[Interval], log: bool) -> None:
    """The measured decides what is in view, not the theory, which goes to infinity."""
    ends = [end for i in shown for end in (i.low, i.value, i.high) if math.isfinite(end)]
    if log:
        ends = [end for end in ends if end > 0]
    if not ends:
        raise ValueError("No point is known: each has too few requests.")
    if log:
        axes.set_ylim(min(ends) / 1.5, max(ends) * 1.5)
    else:
        axes.set_ylim(min(0.0, min(ends)), max(ends) * 1.08 or 1.0)


def _theory(
    axes: Axes,
    expected: Callable[[float], float],
    series: Mapping[float, Interval],
    dashes: Any,
    colour: str,
) -> None:
    at = np.linspace(min(series), max(series), 121)
    values = np.array([expected(float(one)) for one in at])
    axes.plot(at, np.where(np.isfinite(values), values, np.nan), color=colour, ls=dashes)


def _head(figure: Figure, title: str, handles: list[Line2D]) -> None:
    figure.suptitle(
        textwrap.fill(title, _LINE - 10), x=0.01, ha="left", fontsize=11, fontweight="bold"
    )
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=3, alignment="left")


def _under(label: str, notes: Iterable[str]) -> str:
    """The axis' label, and under it each note once."""
    lines = [textwrap.fill(f"Hollow: {text}", _LINE) for text in dict.fromkeys(notes) if text]
    return "\n".join([label, *lines])


def _unit_axis(axes: Axes, which: str, unit: str, log: bool) -> None:
    axis = axes.yaxis if which == "y" else axes.xaxis

    def text(value: float, _position: int) -> str:
        # Ticks are round numbers: six digits drop what floating point adds.
        divisor, suffix = numbers.scale(value * (1 + 1e-9), unit)
        return f"{value / divisor:.6g}{suffix}" if value else "0"

    if log:
        low, high = axis.get_view_interval()
        decades = math.log10(high / low)
        axis.set_major_locator(LogLocator(subs=(1,) if decades > 2.5 else (1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    if unit in ("s", "bytes", "share", "ratio"):
        axis.set_major_formatter(FuncFormatter(text))
    else:
        axis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:,.6g}"))


def _across(axes: Axes) -> Any:
    """x as a share of the chart's width, y in data."""
    return axes.get_yaxis_transform()


def _even_in_log(slower: Any) -> Any:
    """Positions of some 200 points, evenly spaced on the logarithmic axis."""
    wanted = np.geomspace(slower[0], slower[-1], 200)
    return np.clip(np.searchsorted(-slower, -wanted), 0, len(slower) - 1)


def _binned(table: pd.DataFrame, begin: float, every: float, deadline: float) -> pd.DataFrame:
    """Per bin: seconds, median and slowest (s, correct answers), offered, goodput, errors (1/s)."""
    ok = table["ok"].astype(bool)
    places = ((table["intended"] - begin) // every).astype(int)
    every_place = range(int(places.max()) + 1)

    def rate(of: "pd.Series[bool]") -> "pd.Series[float]":
        return of.groupby(places).sum().reindex(every_place, fill_value=0) / every

    latencies = table["latency"].where(ok).groupby(places)
    bins = pd.DataFrame(
        {
            "median": latencies.median().reindex(every_place),
            "slowest": latencies.max().reindex(every_place),
            "offered": rate(ok | True),
            "goodput": rate(ok & (table["latency"] <= deadline)),
            "errors": rate(~ok),
        }
    )
    bins["seconds"] = (np.arange(len(bins)) + 0.5) * every
    # The last bin is rarely full, and would look like a drop.
    full = (table["intended"].max() - begin) / every
    return bins.iloc[: max(1, math.floor(full + 0.05))]


def _latencies(axes: Axes, bins: pd.DataFrame, deadline: float) -> None:
    axes.set_yscale("log")
    axes.plot(bins["seconds"], bins["median"], color=COLOURS[0])
    axes.plot(bins["seconds"], bins["slowest"], color=COLOURS[3], ls=_DASHES[1], lw=1.2)
    axes.axhline(deadline, **_MARK)
    axes.set_ylabel("latency")


def _rates(axes: Axes, bins: pd.DataFrame) -> None:
    axes.plot(bins["seconds"], bins["offered"], **_MARK)
    axes.plot(bins["seconds"], bins["goodput"], color=COLOURS[2], drawstyle="steps-mid")
    failed = bins[bins["errors"] > 0]
    axes.plot(failed["seconds"], failed["errors"], color=COLOURS[1], marker="x", ls="none", mew=1.6)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("requests/s")


def _shade(
    axes: Axes, faults: list[FaultLike], begin: float, end: float, *, labelled: bool
) -> None:
    for number, fault in enumerate(faults):
        left = max(fault.start, begin) - begin
        right = (end if fault.end is None else min(fault.end, end)) - begin
        axes.axvspan(left, max(right, left), facecolor=INK, alpha=0.12, lw=0)
        axes.axvline(left, color=INK, lw=1.0)
        if labelled:
            late = left > 0.6 * (end - begin)
            axes.annotate(
                _fault_in_words(fault),
                (left, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 2 + 11 * (number % 2)),
                textcoords="offset points",
                ha="right" if late else "left",
                fontsize=9.5,
            )


def _fault_in_words(fault: FaultLike) -> str:
    return f"{fault.kind} {fault.service}" + (f" {fault.replica}" if fault.replica else "")


def _same_limits(panels: Iterable[Axes]) -> None:
    panels = list(panels)
    low = min(panel.get_ylim()[0] for panel in panels)
    high = max(panel.get_ylim()[1] for panel in panels)
    for panel in panels:
        panel.set_ylim(low, high)
        _unit_axis(
            panel, "y", "s" if panel.get_yscale() == "log" else "", panel.get_yscale() == "log"
        )


def _series_in_words(
    label: str, series: Mapping[float, Interval], x: str, knee: float | None
) -> str:
    shown = _shown(series)
    if not shown:
        return f"{label}: too few requests."
    text = ", ".join(
        f"{numbers.written(i.value, i.unit, i.low, i.high)} at {at:g}" for at, i in shown.items()
    )
    return f"{label}: {text}." + (f" Predicted knee at {knee:.3g}." if knee is not None else "")


def _quantiles_in_words(values: Any) -> str:
    told = [q for q in (0.5, 0.95, 0.99) if len(values) >= requests_needed(q)]
    return ", ".join(
        f"p{q * 100:g} {numbers.written(float(np.quantile(values, q)), 's')}" for q in told
    )


def _timeline_in_words(
    label: str, bins: pd.DataFrame, faults: list[FaultLike], begin: float
) -> str:
    worst = float(bins["slowest"].max())
    text = (
        f"{label + ': ' if label else ''}{len(bins)} bins; goodput "
        f"{bins['goodput'].min():.3g} to {bins['goodput'].max():.3g} of "
        f"{bins['offered'].mean():.3g} requests/s; slowest answer {numbers.written(worst, 's')}; "
        f"errors at most {bins['errors'].max():.3g}/s."
    )
    for fault in faults:
        text += f" {_fault_in_words(fault)} at {fault.start - begin:.3g} s"
        text += "." if fault.end is None else f" until {fault.end - begin:.3g} s."
    return text
