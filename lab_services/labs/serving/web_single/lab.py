"""What of the machine this lab gets, what a request takes of it, and what theory expects."""

import math
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import psutil

from lab_services import processor_time, python
from lab_services.labs.serving.web_single import work
from lab_services.report.footprint import usable_cores
from lab_services.report.queueing import lindley
from lab_services.report.rounds import paired_ratio
from lab_services.report.stats import Interval
from lab_services.report.windows import window
from lab_services.stack import Stack
from lab_services.traffic.recording import Recording
from lab_services.traffic.schedules import poisson

_TOGETHER = 0.5  # seconds until all of them are there


def processors(seconds: float) -> float:
    """How many processors a lab gets, on average, when it has more to do than they can.

    That is fewer than the machine has where a quota holds it back, or where something else works.
    Two processes ask for each, as several replicas and who asks them do: what else works has to
    share with all of them. Each has a session of its own, as a replica has: Linux may share cores
    out between sessions first.
    """
    begin = time.monotonic() + _TOGETHER
    command = python.command(work.__name__, str(begin), str(seconds))
    with ExitStack() as started:
        working = [
            started.enter_context(
                subprocess.Popen(
                    command,
                    env=python.environment(),
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
            )
            for _ in range(2 * usable_cores())
        ]
        return sum(float(each.communicate()[0]) for each in working)


@dataclass(frozen=True)
class Costed:
    """Traffic, and the processor seconds that one of its requests took.

    `service` is what the replicas took, `all` what everything did that works for a request on this
    machine: replicas, proxy, the generator of the traffic and who watches them.
    """

    recording: Recording
    service: float
    all: float


def costed(stack: Stack, send: Callable[[], Recording]) -> Costed:
    """Send traffic to replicas of the `predictor`, and look at the processors before and after."""
    before, took = _used(), stack.cpu_seconds("predictor")
    recording = send()
    took, after = stack.cpu_seconds("predictor") - took, _used()
    each = len(recording)
    return Costed(recording, took / each, processor_time.taken(before, after) / each)


def _used() -> dict[psutil.Process, processor_time.Used | None]:
    """What has been used so far, but by who has started this process, and much else besides."""
    above = psutil.Process().parents()
    return processor_time.of(processor_time.ours() - {*above})


def by_round(found: Sequence[float], expected: Sequence[float], of: Interval) -> Interval:
    """By how many times `found` is above what is expected, compared round by round.

    What speaks against the measurement that it comes from (`of`) speaks against it as well.
    """
    ratio = paired_ratio(found, expected)
    return replace(ratio, note="; ".join(dict.fromkeys(filter(None, (ratio.note, of.note)))))


def expected_latencies(
    load: float, requests: float, takes: Sequence[float], *, alone: float
) -> npt.NDArray[np.float64]:
    """What a queue in front of one worker makes of the very arrivals that `poisson` draws.

    In each round so many `requests` arrive at an empty queue, drawn with the round's number as the
    seed. `takes` has, for each round, how many seconds one of them keeps the worker busy; they come
    at that `load`, a share of what the worker bears. One that waits for nobody takes `alone`
    seconds. All nan where one of the times is not known.
    """
    found = []
    for seed, service in enumerate(takes):
        arrivals = poisson(load, requests / load, seed=seed).offsets
        waits = lindley(arrivals, np.ones(len(arrivals)))
        found.append(alone + service * waits)
    together = np.concatenate(found)
    return together if np.isfinite(together).all() else np.full(len(together), math.nan)


def during(recording: Recording, begin: float, end: float) -> Recording:
    """The part that was meant for the time of a change, Unix seconds.

    Where the traffic ended before the change did, its note says so.
    """
    part = window(recording, begin, end)
    if end <= recording.begin + recording.seconds:
        return part
    told = "the traffic ended before the change did"
    return replace(part, note=f"{part.note}; {told}" if part.note else told)
