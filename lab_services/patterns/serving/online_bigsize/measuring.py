"""What only the cells of this lab use: load times, answers, the theory of a queue, two charts."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from redis import Redis

from lab_services.errors import LabError
from lab_services.report import drawing
from lab_services.report.drawing import COLOURS, DASHES, MARK, MARKERS, SIZES, WIDTH, Chart
from lab_services.report.stats import Interval, rows
from lab_services.report.svg import INK
from lab_services.report.timeline import Change, name_faults, shade
from lab_services.stack import Stack
from lab_services.traffic.recording import Recording

Numbers = npt.NDArray[np.float64]


# --- models --------------------------------------------------------------------------------------


def load_seconds(logs: str) -> list[float]:
    """How long each start in the logs of a service took to load its model, in seconds."""
    found = []
    for line in logs.splitlines():
        _, brace, rest = line.partition("{")
        if '"model loaded"' in line:
            found.append(float(json.loads(brace + rest)["seconds"]))
    return found


# --- the queue -----------------------------------------------------------------------------------


def _store(stack: Stack) -> "Redis":
    return Redis.from_url(f"redis://{stack.address('queue')}", decode_responses=True)


def finished(stack: Stack, idents: Sequence[str], patience: float = 60) -> Numbers:
    """When the answer to each of these questions was there (Unix seconds); waits for all.

    Raises LabError where one is missing after `patience` seconds.
    """
    deadline = time.monotonic() + patience
    with _store(stack) as redis:
        while True:
            told: Any = redis.hmget("answers", list(idents))
            if all(told):
                return np.array([json.loads(one)["finished"] for one in told])
            if time.monotonic() > deadline:
                raise LabError(
                    f"{sum(not one for one in told)} of {len(told)} answers are missing.",
                    'Look at the worker: stack.logs("worker").',
                )
            time.sleep(0.05)


def window(stack: Stack, questions: Sequence[Mapping[str, Any]]) -> float:
    """Seconds from the moment a night's list is handed over until its last answer is there."""
    began = time.time()
    httpx.post(stack.url("front", "/nights"), json=list(questions), timeout=30).raise_for_status()
    return float(finished(stack, [one["id"] for one in questions]).max() - began)


def completed(recording: Recording, done: Numbers) -> Recording:
    """The same questions, timed from their intended start until the answer was there.

    `done` has the moment (Unix seconds) for each row of the recording's table.
    """
    latency = done - recording.table["intended"].to_numpy()
    return replace(recording, table=recording.table.assign(latency=latency))


# --- theory --------------------------------------------------------------------------------------


def one_after_another(arrivals: Numbers, service: float) -> Numbers:
    """Seconds from each arrival until its answer, where one worker takes `service` seconds each.

    Each begins when it arrives or when the one before is done, whichever is later: Lindley,
    Proceedings of the Cambridge Philosophical Society 48, 1952. Raises ValueError unless arrivals
    are sorted and `service` is above 0.
    """
    arrivals = np.asarray(arrivals, dtype=float)
    if service <= 0 or (np.diff(arrivals) < 0).any():
        raise ValueError("Arrivals are sorted, and a service time is above 0.")
    # done[n] = max(arrival[n], done[n - 1]) + service, without a loop
    steps = service * np.arange(len(arrivals))
    done = np.maximum.accumulate(arrivals - steps) + steps + service
    return np.asarray(done - arrivals, dtype=float)


def expected(recording: Recording, service: float) -> Recording:
    """The same arrivals as one worker would have answered them, with `service` seconds each."""
    table = rows(recording)
    latency = one_after_another(table["intended"].to_numpy(), service)
    return replace(recording, table=table.assign(latency=latency))


def waiting(recording: Recording, at: Numbers) -> Numbers:
    """How many requests had no answer yet at those moments (Unix seconds)."""
    table = rows(recording)
    came = np.searchsorted(np.sort(table["intended"]), at, side="right")
    answered = np.searchsorted(np.sort(table["intended"] + table["latency"]), at, side="right")
    return np.asarray(came - answered, dtype=float)


# --- charts --------------------------------------------------------------------------------------


def front(
    points: Mapping[str, tuple[Interval, Interval]],
    *,
    deadlines: Mapping[str, float],
    name: str,
    title: str,
) -> Chart:
    """How well each model ranks (AUC) against how long one answer takes, the deadlines marked.

    `points[model]` is (latency in seconds, AUC). Raises ValueError without a point.
    """
    if not points:
        raise ValueError("There is no model to show.")
    with drawing.style(name):
        figure = Figure(figsize=(WIDTH, 3.6))
        axes = figure.add_subplot()
        axes.set_xscale("log")
        words = []
        for model, (latency, auc) in points.items():
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
        left = min(latency.low for latency, _ in points.values())
        right = max(*deadlines.values(), *(latency.high for latency, _ in points.values()))
        axes.set_xlim(left / 1.5, right * 1.9)
        axes.set(xlabel="time for one answer (median)", ylabel="AUC")
        drawing.unit_axis(axes, "x", "s")
        return drawing.finish(figure, name, title, " ".join(words))


def doubling(
    recordings: Mapping[str, Recording],
    services: Mapping[str, float],
    phases: Sequence[float],
    *,
    name: str,
    title: str,
) -> Chart:
    """Requests that wait for an answer over time, and what one worker makes of the arrivals.

    Each recording begins at 0; `phases` are the seconds before, during and after the doubling,
    which is shaded. `services[label]` is the service time in seconds from which a line is
    computed. Raises ValueError for a label without a recording.
    """
    drawing.check_labels(recordings, services)
    before, double, after = phases
    with drawing.style(name):
        figure = Figure(figsize=(WIDTH, 3.6))
        axes = figure.add_subplot()
        at = np.linspace(0, before + double + after, 400)
        legend, words = [], []
        for index, (label, recording) in enumerate(recordings.items()):
            measured = waiting(recording, recording.begin + at)
            look: dict[str, Any] = {"color": COLOURS[index], "ls": DASHES[index], "lw": 2.2}
            axes.plot(at, measured, **look)
            legend.append(Line2D([], [], **look, label=label))
            words.append(f"{label}: at most {measured.max():.0f} requests.")
            if label in services:
                ideal = waiting(expected(recording, services[label]), recording.begin + at)
                axes.plot(at, ideal, color=INK, lw=1)
                words.append(f"Theory: at most {ideal.max():.0f}.")
        change = Change("traffic doubles", "", before, before + double)
        shade(axes, [change], 0, before + double + after)
        name_faults(axes, [change], 0, before + double + after)
        axes.set(xlabel="seconds", ylabel="requests that wait", xlim=(0, at[-1]))
        axes.set_ylim(bottom=0)
        if services:
            legend.append(Line2D([], [], color=INK, lw=1, label="line: theory"))
        return drawing.finish(figure, name, title, " ".join(words), legend)
