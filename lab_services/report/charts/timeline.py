"""What happened while it happened: latency, goodput and errors over time, faults shaded."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator

from lab_services.report import numbers
from lab_services.report.charts import style
from lab_services.report.charts.style import COLOURS, DASHES, MARK, WIDTH, Chart
from lab_services.report.charts.svg import INK
from lab_services.report.stats import Recorded, note, rows

_MEDIAN: dict[str, Any] = {"color": COLOURS[0]}
_SLOWEST: dict[str, Any] = {"color": COLOURS[3], "ls": DASHES[1], "lw": 1.2}
_GOODPUT: dict[str, Any] = {"color": COLOURS[2], "drawstyle": "steps-mid"}
_ERRORS: dict[str, Any] = {"color": COLOURS[1], "marker": "x", "ls": "none", "mew": 1.6}
_DISTURBED: dict[str, Any] = {"fc": "none", "ec": INK, "hatch": "///", "lw": 0, "alpha": 0.4}
SHADE = 0.12  # how much ink the time of a fault has
_LETTER = 0.019  # of a name's width, as a share of a panel's


class FaultLike(Protocol):
    """What is needed of a fault: its times in Unix seconds, `end` None while it lasts."""

    @property
    def kind(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def replica(self) -> int | None: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float | None: ...


@dataclass(frozen=True)
class Change:
    """Something of a lab's own that charts shade like a fault, such as a burst.

    Times are in Unix seconds, `end` is None while it lasts.

    >>> Change("burst", "", begin, begin + 2)
    """

    kind: str
    service: str
    start: float
    end: float | None
    replica: int | None = None


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
    seconds decides goodput, which is not known where the deadline is nan. A recording without
    requests has empty panels, and the chart says so.

    >>> timeline(recording, stack.faults, name="kill", title="A replica is killed", deadline=0.1)
    """
    several = recordings if isinstance(recordings, Mapping) else {"": recordings}
    style.check_labels(several)
    faults, missing = timed(faults)
    if math.isnan(deadline):
        missing.append(style.gap("the deadline, and so goodput"))
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 0.9 + 2.7 * len(several)))
        panels = figure.subplots(
            2 * len(several), 1, sharex=True, squeeze=False, height_ratios=[1.3, 1] * len(several)
        )[:, 0]
        words, longest, hatched = [], every, False
        for index, (label, recording) in enumerate(several.items()):
            table = rows(recording)
            slow, rates = panels[2 * index], panels[2 * index + 1]
            if table.empty:
                slow.set_title(label, fontweight="bold")
                slow.set(ylabel="latency", yscale="log")
                rates.set(ylabel="requests/s")
                missing.append(style.gap(label or "what happened", "no requests"))
                continue
            begin, end = float(table["intended"].min()), float(table["intended"].max())
            longest = max(longest, end - begin)
            bins = _binned(table, begin, every, deadline)
            _draw_latencies(slow, bins, deadline)
            _draw_rates(rates, bins)
            here = during(faults, begin, end)
            disturbed = _disturbed(recording, begin, end)
            for panel in (slow, rates):
                shade(panel, here, begin, end)
                for left, right in disturbed:
                    panel.axvspan(left, right, **_DISTURBED)
            head(slow, label, here, begin, end)
            words.append(_in_words(label, bins, here, begin))
            words += [f"Disturbed from {a:.3g} to {b:.3g} s." for a, b in disturbed]
            hatched = hatched or bool(disturbed)
            if bins["median"].isna().all():
                what = f"latency of {label}" if label else "latency"
                missing.append(style.gap(what, "no correct answer"))
        _equal([panel for panel in panels[0::2] if panel.lines], "s")
        _equal([panel for panel in panels[1::2] if panel.lines], "")
        for panel in panels:
            if not panel.lines:
                panel.set_yticks([])
                panel.yaxis.set_minor_locator(NullLocator())
        panels[-1].set_xlim(0, longest)
        panels[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
        notes = (note(recording) for recording in several.values())
        style.noted(panels[-1], "seconds", notes, missing=missing)
        legend: list[Line2D | Patch] = [
            Line2D([], [], **_MEDIAN, label="median"),
            Line2D([], [], **_SLOWEST, label="slowest"),
            Line2D([], [], **MARK, label="deadline, offered"),
            Line2D([], [], **_GOODPUT, label="goodput"),
            Line2D([], [], **_ERRORS, label="errors"),
        ]
        if hatched:
            legend.append(Patch(**_DISTURBED, label="the machine was disturbed"))
        alt = style.in_words("Latency, goodput and errors over time.", [*words, *missing])
        return style.finish(figure, name, title, alt, legend)


def timed(faults: Iterable[FaultLike]) -> tuple[list[FaultLike], list[str]]:
    """The faults in the order of time, and in words those of which the time is not known."""
    found = list(faults)
    known = [fault for fault in found if not math.isnan(fault.start + (fault.end or 0.0))]
    missing = [style.gap(f"when {_name(fault)}") for fault in found if fault not in known]
    return sorted(known, key=lambda fault: fault.start), missing


def _binned(table: pd.DataFrame, begin: float, every: float, deadline: float) -> pd.DataFrame:
    """Per bin: seconds, median and slowest (s, correct answers), offered, goodput, errors (1/s)."""
    ok = table["ok"].astype(bool)
    places = ((table["intended"] - begin) // every).astype(int)
    every_place = range(int(places.max()) + 1)

    def rate(of: "pd.Series[bool]") -> "pd.Series[float]":
        return of.groupby(places).sum().reindex(every_place, fill_value=0) / every

    in_time = table["latency"] <= deadline
    latencies = table["latency"].where(ok).groupby(places)
    bins = pd.DataFrame(
        {
            "median": latencies.median().reindex(every_place),
            "slowest": latencies.max().reindex(every_place),
            "offered": rate(ok | True),
            "goodput": math.nan if math.isnan(deadline) else rate(ok & in_time),
            "errors": rate(~ok),
        }
    )
    bins["seconds"] = (np.arange(len(bins)) + 0.5) * every
    # The last bin is rarely full, and would look like a drop.
    full = (table["intended"].max() - begin) / every
    return bins.iloc[: max(1, math.floor(full + 0.05))]


def _draw_latencies(axes: Axes, bins: pd.DataFrame, deadline: float) -> None:
    axes.set_yscale("log")
    # The deadline may be all there is: where nothing was answered, nothing sets the limits.
    seen = [deadline, *bins["median"], *bins["slowest"]]
    seen = [each for each in seen if math.isfinite(each) and each > 0] or [1.0]
    axes.set_ylim(min(seen) / 1.5, max(seen) * 1.5)
    axes.plot(bins["seconds"], bins["median"], **_MEDIAN)
    axes.plot(bins["seconds"], bins["slowest"], **_SLOWEST)
    if math.isfinite(deadline):
        axes.axhline(deadline, **MARK)
    axes.set_ylabel("latency")


def _draw_rates(axes: Axes, bins: pd.DataFrame) -> None:
    axes.plot(bins["seconds"], bins["offered"], **MARK, drawstyle="steps-mid")
    axes.plot(bins["seconds"], bins["goodput"], **_GOODPUT)
    failed = bins[bins["errors"] > 0]
    if len(failed):  # what is not clipped and empty has no extent to lay the chart out by
        axes.plot(failed["seconds"], failed["errors"], **_ERRORS, clip_on=False)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("requests/s")


def _span(fault: FaultLike, begin: float, end: float) -> tuple[float, float]:
    left = max(fault.start, begin) - begin
    right = (end if fault.end is None else min(fault.end, end)) - begin
    return left, max(left, right)


def shade(axes: Axes, faults: Sequence[FaultLike], begin: float, end: float) -> None:
    """Shade the time of each fault, in seconds after `begin`."""
    for fault in faults:
        left, right = _span(fault, begin, end)
        axes.axvspan(left, right, facecolor=INK, alpha=SHADE, lw=0)
        axes.axvline(left, color=INK, lw=1.0)


def _disturbed(recording: Recorded, begin: float, end: float) -> list[tuple[float, float]]:
    """From when to when something else had much of the machine, in seconds after `begin`."""
    spans = recording.disturbance.spans()
    return [(max(a, begin) - begin, min(b, end) - begin) for a, b in spans if a < end and b > begin]


def name_faults(
    axes: Axes,
    faults: Sequence[FaultLike],
    begin: float,
    end: float,
    limits: tuple[float, float] | None = None,
) -> None:
    """Name each fault above its beginning, neighbours on two levels.

    `limits` are those of the x axis in seconds after `begin`, by default from 0 to `end`.
    """
    low, high = limits or (0.0, end - begin)
    scale = np.log if axes.get_xscale() == "log" else np.asarray
    for number, fault in enumerate(faults):
        at = max(low, _span(fault, begin, end)[0])
        share = (scale(at) - scale(low)) / ((scale(high) - scale(low)) or 1.0)
        fits = share + _LETTER * len(_name(fault)) <= 1
        axes.annotate(
            _name(fault),
            (at, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2 + 12 * (number % 2)),
            textcoords="offset points",
            ha="left" if fits else "right",
            fontsize=10,
        )


def during(faults: Iterable[FaultLike], begin: float, end: float) -> list[FaultLike]:
    """Those of the faults that fall into a time, its beginning included."""
    return [f for f in faults if f.start < end and (f.end is None or f.end >= begin)]


def head(axes: Axes, label: str, faults: Sequence[FaultLike], begin: float, end: float) -> None:
    """Name a panel, and below its name each fault as `name_faults` does."""
    name_faults(axes, faults, begin, end)
    if label:
        axes.set_title(label, fontweight="bold", pad=6 + 12 * min(len(faults), 2))


def in_words(faults: Iterable[FaultLike], begin: float) -> list[str]:
    """What each fault is called and its times, in seconds after `begin`."""
    words = []
    for fault in faults:
        end = fault.start if fault.end is None else fault.end
        until = f" until {end - begin:.3g} s" if end > fault.start else ""
        words.append(f"{_name(fault)} at {fault.start - begin:.3g} s{until}.")
    return words


def _name(fault: FaultLike) -> str:
    return f"{fault.kind} {fault.service} {fault.replica or ''}".strip()


def _equal(panels: Sequence[Axes], unit: str) -> None:
    if not panels:
        return
    low = min(panel.get_ylim()[0] for panel in panels)
    high = max(panel.get_ylim()[1] for panel in panels)
    for panel in panels:
        panel.set_ylim(low, high)
        style.unit_axis(panel, "y", unit, room=1.2)


def _in_words(label: str, bins: pd.DataFrame, faults: Sequence[FaultLike], begin: float) -> str:
    slowest = numbers.written(float(bins["slowest"].max()), "s")
    least, most = float(bins["goodput"].min()), float(bins["goodput"].max())
    goodput = numbers.UNKNOWN if math.isnan(most) else f"{least:.3g} to {most:.3g} requests/s"
    text = (
        f"{label + ': ' if label else ''}goodput {goodput} of "
        f"{bins['offered'].mean():.3g} offered; "
        f"slowest answer {slowest}; errors at most {bins['errors'].max():.3g}/s."
    )
    return " ".join([text, *(f"Fault: {words}" for words in in_words(faults, begin))])
