"""What only the cells of this lab use: load times, answers, the theory of a queue, two charts."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from lab_services.report.charts import style
from lab_services.report.charts.style import COLOURS, MARK, MARKERS, SIZES, WIDTH, Chart
from lab_services.report.charts.svg import INK
from lab_services.report.queueing import lindley
from lab_services.report.rounds import paired_ratio
from lab_services.report.stats import Interval, rows
from lab_services.stack import Stack, loopback
from lab_services.traffic.recording import Recording

Numbers = npt.NDArray[np.float64]


# --- models --------------------------------------------------------------------------------------


def load_time(logs: str) -> Interval:
    """How long the last start in the logs of a service took to load its model, in seconds.

    Unknown where the logs, or as many lines of them as were asked for, tell of none.
    """
    for line in reversed(logs.splitlines()):
        _, brace, rest = line.partition("{")
        if '"model loaded"' in line:
            return Interval.exact(float(json.loads(brace + rest)["seconds"]), "s")
    return Interval.unknown("the logs tell of no model that was loaded", "s")


def times(a: Sequence[float], b: Sequence[float]) -> Interval:
    """By how many times `a` is above `b`, of as many values as both have."""
    pairs = min(len(a), len(b))
    return paired_ratio(a[:pairs], b[:pairs])


# --- the queue -----------------------------------------------------------------------------------


def finished(stack: Stack, idents: Sequence[str], patience: float = 30) -> Numbers:
    """When the answer to each of these questions was there (Unix seconds); waits for all.

    Where none has come for `patience` seconds it waits no longer: what is missing is nan.
    """
    before, deadline = 0, time.monotonic() + patience
    with stack.redis("queue") as redis:
        while True:
            told: Any = redis.hmget("answers", list(idents))
            there = sum(map(bool, told))
            if there > before:
                before, deadline = there, time.monotonic() + patience
            if there == len(told) or time.monotonic() > deadline:
                return np.array(
                    [json.loads(one)["finished"] if one else np.nan for one in told], dtype=float
                )
            time.sleep(0.05)


def night(stack: Stack, questions: Sequence[Mapping[str, Any]]) -> Numbers:
    """Seconds from the moment a night's list is handed over until each answer is there, in order.

    Those that are missing are nan, and last.
    """
    began = time.time()
    loopback.post(
        stack.url("front", "/nights"), json=list(questions), timeout=30
    ).raise_for_status()
    return np.sort(finished(stack, [one["id"] for one in questions])) - began


def window(there: Numbers) -> Interval:
    """How long a `night` took, in seconds; unknown where an answer is missing."""
    if missing := int(np.isnan(there).sum()):
        return Interval.unknown(f"{missing} of {len(there)} answers are missing", "s", len(there))
    return Interval.exact(float(there.max()), "s")


def completed(recording: Recording, done: Numbers) -> Recording:
    """The same questions, timed from their intended start until the answer was there.

    `done` has the moment (Unix seconds) for each row of the recording's table; where it is nan, the
    question got no answer.
    """
    table = recording.table
    latency = done - table["intended"].to_numpy()
    answered = table["ok"].astype(bool) & ~np.isnan(done)
    return replace(recording, table=table.assign(latency=latency, ok=answered))


# --- theory --------------------------------------------------------------------------------------


def expected(recording: Recording, service: float) -> Recording:
    """The same arrivals as one worker would have answered them, with `service` seconds each."""
    table = rows(recording)
    waits = lindley(table["intended"], np.full(len(table), service))
    return replace(recording, table=table.assign(latency=waits + service))


# --- charts --------------------------------------------------------------------------------------


def front(
    points: Mapping[str, tuple[Interval, Interval]],
    *,
    deadlines: Mapping[str, float],
    name: str,
    title: str,
) -> Chart:
    """How well each model ranks (AUC) against how long one answer takes, the deadlines marked.

    `points[model]` is (latency in seconds, AUC); what is not known leaves a gap, with its reason
    under the chart. Raises ValueError without a model.
    """
    if not points:
        raise ValueError("There is no model to show.")
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 3.6))
        axes = figure.add_subplot()
        axes.set_xscale("log")
        words, missing, seen = [], [], []
        for model, (latency, auc) in points.items():
            if not (latency.known and auc.known):
                missing.append(style.gap(model, latency.note or auc.note))
                continue
            seen += [end for end in (latency.low, latency.value, latency.high) if isfinite(end)]
            forest = model.startswith("forest")
            axes.plot([latency.low, latency.high], [auc.value] * 2, color=INK, lw=1.2)
            axes.plot([latency.value] * 2, [auc.low, auc.high], color=INK, lw=1.2)
            axes.plot(
                latency.value,
                auc.value,
                marker=MARKERS[forest],
                ms=SIZES[forest],
                color=COLOURS[forest],
            )
            at = {"xytext": (5, 5), "textcoords": "offset points", "fontsize": 10}
            axes.annotate(model, (latency.value, auc.value), **at)  # type: ignore[arg-type]
            words.append(f"{model}: {latency}, AUC {auc.value:.3f}.")
        for label, seconds in deadlines.items():
            if not isfinite(seconds):
                missing.append(style.gap(label))
                continue
            seen.append(seconds)
            axes.axvline(seconds, **MARK)
            axes.annotate(
                label,
                (seconds, 0),
                xycoords=("data", "axes fraction"),
                xytext=(-3, 3),
                textcoords="offset points",
                rotation=90,
                ha="right",
                va="bottom",
                fontsize=10,
            )
        if seen:
            axes.set_xlim(min(seen) / 1.5, max(seen) * 1.9)
        axes.set_ylabel("AUC")
        style.unit_axis(axes, "x", "s")
        style.noted(axes, "time for one answer (median)", [], missing=missing)
        return style.finish(figure, name, title, style.in_words(" ".join(words), missing))
