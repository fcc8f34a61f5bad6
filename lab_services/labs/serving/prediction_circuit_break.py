"""What the lab reads off the stack and the recordings; no service imports this."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab_services.report.charts import style
from lab_services.report.charts.style import COLOURS, MARK, WIDTH, Chart
from lab_services.report.charts.svg import INK
from lab_services.report.charts.timeline import FaultLike
from lab_services.report.fallbacks import FALLBACK, MODEL
from lab_services.report.queueing import Fluid
from lab_services.report.stats import Interval, rows
from lab_services.stack import Stack
from lab_services.traffic.recording import Recording

# The limits that the proxy knows, in requests per second (envoy.yaml).
LIMITS = (
    *(10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90),
    *(100, 120, 140, 160, 200, 250, 320, 400),
)


# --- from the running stack ----------------------------------------------------------------------


def limit_below(rate: float) -> int:
    """The largest limit of the proxy that is not above `rate`; the smallest where all are."""
    return max([limit for limit in LIMITS if limit <= rate], default=LIMITS[0])


def attempts(stack: Stack, door: str) -> int:
    """How often the proxy has sent a request on behind a door, retries included."""
    path = f"/stats?format=json&filter=^cluster\\.{door}\\.upstream_rq_total$"
    (counted,) = stack.json("proxy", path, port=9901)["stats"]
    return int(counted["value"])


def circuit_changes(stack: Stack) -> list[dict[str, Any]]:
    """Every change of a circuit: circuit (failures in a row), state, at (Unix seconds)."""
    changes: list[dict[str, Any]] = stack.json("caller", "/circuits")
    return changes


# --- from recordings -----------------------------------------------------------------------------


def time_to_trip(recording: Recording, fault: FaultLike, prompt: float) -> Interval:
    """Seconds from a fault that makes the predictor late to the first `prompt` other answer.

    A caller that still asks cannot answer before its time is up, so a fallback's answer within
    `prompt` seconds shows that nobody asked. Unknown where there was none.
    """
    end = np.inf if fault.end is None else fault.end
    table = rows(recording)
    table = table[table["intended"].between(fault.start, end, inclusive="left")]
    tripped = table[(table["status"] == FALLBACK) & (table["latency"] <= prompt)]
    if tripped.empty:
        return Interval.unknown("the fallback never answered at once", "s", len(table))
    return Interval.exact(float(tripped["intended"].min()) - fault.start, "s")


def time_to_recover(recording: Recording, healed: float) -> Interval:
    """Seconds from the end of a fault to the predictor's first answer; unknown if none came."""
    table = rows(recording)
    table = table[table["intended"] >= healed]
    answered = table[table["status"] == MODEL]
    if answered.empty:
        reason = "the predictor did not answer again while it was asked"
        return Interval.unknown(reason, "s", len(table))
    return Interval.exact(float(answered["intended"].min()) - healed, "s")


def opened_after(changes: Iterable[Mapping[str, Any]], circuit: str, begin: float) -> float:
    """Seconds from `begin` to the next opening of a circuit; infinite if it stays closed."""
    times = [
        change["at"] - begin
        for change in changes
        if change["circuit"] == circuit and change["state"] == "opened" and change["at"] >= begin
    ]
    return min(times, default=np.inf)


def time_to_open(
    changes: Iterable[Mapping[str, Any]], circuit: str, outages: Sequence[FaultLike]
) -> Interval:
    """Mean seconds from the beginning of an outage until a circuit opens, shortest to longest.

    Unknown where it stayed closed in one of them: how long it would have taken nobody has seen.
    """
    told = list(changes)
    took = [opened_after(told, circuit, outage.start) for outage in outages]
    closed = int(np.isinf(took).sum())
    if closed or not took:
        reason = f"the circuit stayed closed in {closed} of {len(took)} outages"
        return Interval.unknown(reason, "s", len(took))
    return Interval(float(np.mean(took)), min(took), max(took), len(took), "s")


# --- theory --------------------------------------------------------------------------------------


def expected_good(
    limit: float, *, calm: float, offered: float, capacity: float, seconds: float, wait: float
) -> float:
    """The predictor's answers in time, per second of a burst behind a bucket of tokens.

    The fluid limit (`report.Fluid`): what is let through beyond the capacity piles up, and once the
    pile takes longer than `wait` seconds every answer is late for as long as the burst lasts. A
    bucket holds 0.2 s of its `limit`, and is empty where the `calm` before the burst already took
    more. Rates are in requests per second. Where nothing can `wait`, because an answer takes as
    long as that by itself, every one is late.
    """
    if wait <= 0:
        return 0.0
    held = 0.2 * limit if limit > calm else 0.0
    first = min(seconds, held / (offered - limit)) if offered > limit else seconds
    parts = [(offered, first), (min(limit, offered), seconds - first)]
    return Fluid(capacity).timely(parts, wait) / seconds


def requests_until_run(failures: int, errors: float) -> float:
    """Mean number of requests until `failures` in a row have failed, each with chance `errors`.

    (1 - p^k) / (p^k (1 - p)): Feller, "An Introduction to Probability Theory and Its Applications"
    volume 1, 1968, section XIII.7, on runs of successes.
    """
    if not (failures >= 1 and 0 < errors < 1):
        raise ValueError("Runs need at least one failure, and a chance between 0 and 1.")
    run = errors**failures
    return float((1 - run) / (run * (1 - errors)))


def expected_fallback_share(
    failures: int, errors: float, rate: float, open_seconds: float
) -> float:
    """Share of requests for the fallback while a predictor fails a share `errors` of its requests.

    One cycle is a closed time, which ends with a run of failures, and as many open times as it
    takes until the request that is let through succeeds. `rate` is in requests per second.
    """
    closed = requests_until_run(failures, errors)
    openings = 1 / (1 - errors)
    refused = openings * rate * open_seconds
    failed = errors * closed + (openings - 1)
    return (refused + failed) / (closed + openings + refused)


# --- charts --------------------------------------------------------------------------------------

_SOURCES = ("the predictor, in time", "the fallback, in time", "late or failed")
_FACES = (COLOURS[2], COLOURS[0], COLOURS[1])
_STATES = {"closed": 0.0, "half-opened": 0.5, "opened": 1.0}


def answers(
    recordings: Mapping[str, Recording],
    faults: Iterable[FaultLike] = (),
    *,
    name: str,
    title: str,
    deadline: float,
    every: float = 0.25,
    circuits: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> Chart:
    """Who answered, over time: one panel a label, each from its own beginning, faults shaded.

    `circuits` gives for a label the changes of its circuit, which are drawn below its panel. Raises
    ValueError for more labels than a chart can hold.
    """
    circuits = circuits or {}
    faults = sorted(faults, key=lambda fault: fault.start)
    style.check_labels(recordings, circuits)
    heights = [h for label in recordings for h in ([1.0, 0.42] if label in circuits else [1.0])]
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 0.9 + 1.55 * sum(heights)))
        panels = list(
            figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[
                :, 0
            ]
        )
        words, longest, highest = [], 0.0, 0.0
        for label, recording in recordings.items():
            panel = panels.pop(0)
            table = rows(recording)
            begin, end = float(table["intended"].min()), float(table["intended"].max())
            longest = max(longest, end - begin)
            bins = _by_source(table, begin, every, deadline)
            highest = max(highest, float(bins.sum(axis=1).max()))
            edges = np.append(bins.index.to_numpy(), bins.index[-1] + every)
            bottom = np.zeros(len(bins))
            for source, face in zip(_SOURCES, _FACES, strict=True):
                top = bottom + bins[source].to_numpy()
                panel.stairs(top, edges, baseline=bottom, fill=True, color=face, alpha=0.85, lw=0)
                bottom = top
            panel.stairs(bottom, edges, color=INK, lw=1.0)
            panel.set_ylabel("requests/s")
            here = [f for f in faults if f.start < end and (f.end is None or f.end > begin)]
            _shade(panel, here, begin, end, named=True)
            panel.set_title(label, fontweight="bold", pad=6 + 12 * bool(here))
            words.append(_in_words(label, bins))
            if label in circuits:
                strip = panels.pop(0)
                _draw_states(strip, circuits[label], begin, end)
                _shade(strip, here, begin, end, named=False)
        for panel in figure.axes:
            panel.set_xlim(0, longest)
            if panel.get_ylabel():
                panel.set_ylim(0, highest * 1.05)
        figure.axes[-1].set_xlabel("seconds")
        legend = [
            Line2D([], [], color=face, marker="s", ls="none", ms=9, label=source)
            for source, face in zip(_SOURCES, _FACES, strict=True)
        ]
        return style.finish(figure, name, title, " ".join(words), legend)


def _by_source(table: pd.DataFrame, begin: float, every: float, deadline: float) -> pd.DataFrame:
    """Requests per second by who answered; the index is the beginning of each bin in seconds."""
    timely = table["ok"].astype(bool) & (table["latency"] <= deadline)
    source = np.where(~timely, 2, np.where(table["status"] == FALLBACK, 1, 0))
    places = ((table["intended"] - begin) // every).astype(int)
    bins = pd.crosstab(places, source) / every
    bins = bins.reindex(index=range(int(places.max()) + 1), columns=range(3), fill_value=0)
    bins = bins.iloc[: max(1, len(bins) - 1)]  # the last bin is rarely full
    bins.index = bins.index * every
    bins.columns = pd.Index(_SOURCES)
    return bins


def _shade(
    axes: Axes, faults: Sequence[FaultLike], begin: float, end: float, *, named: bool
) -> None:
    for fault in faults:
        left = max(fault.start, begin) - begin
        right = (end if fault.end is None else min(fault.end, end)) - begin
        axes.axvspan(left, right, facecolor="none", edgecolor=INK, lw=1.0, ls=(0, (2, 2)))
        if named:
            who = f"{fault.service} {fault.replica}" if fault.replica else fault.service
            axes.annotate(
                f"{fault.kind} {who}".strip(),
                (left, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 2),
                textcoords="offset points",
                fontsize=10,
            )


def _draw_states(
    axes: Axes, changes: Sequence[Mapping[str, Any]], begin: float, end: float
) -> None:
    before = [change["state"] for change in changes if change["at"] < begin]
    times, states = [0.0], [_STATES[before[-1] if before else "closed"]]
    for change in changes:
        if begin <= change["at"] <= end:
            times.append(change["at"] - begin)
            states.append(_STATES[change["state"]])
    axes.step([*times, end - begin], [*states, states[-1]], where="post", color=INK, lw=1.4)
    halves = [
        at for at, state in zip(times, states, strict=True) if state == _STATES["half-opened"]
    ]
    axes.plot(halves, [0.5] * len(halves), **{**MARK, "ls": "none"}, marker="D", ms=4)
    axes.set_ylim(-0.25, 1.25)
    axes.set_yticks([0, 0.5, 1], ["closed", "half-open", "open"])


def _in_words(label: str, bins: pd.DataFrame) -> str:
    shares = bins.sum() / max(float(bins.to_numpy().sum()), 1e-9)
    told = ", ".join(f"{source} {part:.0%}" for source, part in shares.items())
    return f"{label}: {told}."
