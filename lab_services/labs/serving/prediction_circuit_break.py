"""What the lab reads off the stack and the recordings; no service imports this."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy

from lab_services.report.bootstrap import CONFIDENCE
from lab_services.report.charts.timeline import FaultLike
from lab_services.report.fallbacks import FALLBACK, MODEL
from lab_services.report.queueing import Fluid
from lab_services.report.rounds import t_interval
from lab_services.report.stats import Interval, Requests, rows
from lab_services.report.windows import window
from lab_services.stack import Stack, loopback
from lab_services.traffic.recording import Recording

# What envoy.yaml says: the limits of the port that limits the rate, in requests per second, what
# its bucket holds, how often the port that retries tries, and how many the port that bounds what is
# in flight lets through.
LIMITS: tuple[int, ...] = (
    *range(2, 20),
    *(20, 22, 24, 27, 29, 32, 35, 39, 43, 47, 52, 57, 63, 69, 76, 84, 92, 101, 111, 122, 135),
    *(148, 163, 179, 197, 217, 238, 262, 288, 317, 349, 384, 422, 465, 511, 562, 618, 680, 748),
    *(823, 905, 996),
)
BUCKET = 4
TRIES = 4
IN_FLIGHT = 3


Reading = tuple[float, int]
"""When something was counted (Unix s), and how many there were."""


# --- from the running stack ----------------------------------------------------------------------


def limit_below(rate: float) -> int:
    """The largest limit of the proxy that is not above `rate`; the smallest where all are."""
    return max([limit for limit in LIMITS if limit <= rate], default=LIMITS[0])


def set_times(stack: Stack, *, deadline: float, open_seconds: float) -> None:
    """A new caller with these seconds for a try and for an open circuit; the proxy ejects as long.

    Raises httpx.HTTPError where the proxy does not answer.
    """
    times = {"DEADLINE": f"{deadline:.4f}", "OPEN_SECONDS": f"{open_seconds:.4f}"}
    stack.rollout("caller", times)
    eject_for(stack, open_seconds)


def eject_for(stack: Stack, seconds: float) -> None:
    """How long the proxy ejects what failed; raises httpx.HTTPError where it does not answer."""
    keys = ("base_ejection_time_ms", "max_ejection_time_ms")
    query = "&".join(f"outlier_detection.{key}={round(seconds * 1000)}" for key in keys)
    url = stack.url("proxy", f"/runtime_modify?{query}", port=9901)
    loopback.post(url, timeout=60).raise_for_status()


def attempts(stack: Stack, port: str) -> int:
    """How often the proxy has sent a request on behind one of its ports, retries included."""
    (counted,) = stack.envoy_stats("proxy", rf"^cluster\.{port}\.upstream_rq_total$").values()
    return counted


def circuit_changes(stack: Stack) -> list[dict[str, Any]]:
    """Every change of a circuit: circuit (failures in a row), state, at (Unix seconds)."""
    changes: list[dict[str, Any]] = stack.json("caller", "/circuits")
    return changes


# --- from recordings -----------------------------------------------------------------------------


def attempts_per_request(
    readings: Sequence[tuple[Reading, Reading]], recording: Requests
) -> Interval:
    """How often each request was sent on between two `readings` of `attempts`, over all such pairs.

    Unknown where in one of them nobody asked.
    """
    intended = rows(recording)["intended"].to_numpy(dtype=float)
    found = []
    for (begin, before), (end, after) in readings:
        asked = int(((intended >= begin) & (intended < end)).sum())
        if not asked:
            return Interval.unknown("nobody asked between two readings", "ratio")
        found.append((after - before) / asked)
    return t_interval(found, "ratio", least=0)


def during(recording: Recording, *parts: str) -> Recording:
    """The requests that are labelled as one of these `part`s; none where there is none."""
    table = recording.table
    return replace(recording, table=table[table["part"].isin(parts)].reset_index(drop=True))


def in_rounds(recording: Recording, times: Iterable[tuple[float, float]]) -> Recording:
    """The parts of a recording from begin to end of each time (Unix s), labelled by `round`."""
    parts = [window(recording, begin, end) for begin, end in times]
    labelled = [replace(p, table=p.table.assign(round=n)) for n, p in enumerate(parts)]
    return Recording.join(labelled, recording.title)


def time_to_trip(recording: Recording, faults: Sequence[FaultLike], prompt: float) -> Interval:
    """Mean seconds from faults that make the predictor late to the first `prompt` other answer.

    A caller that still asks cannot answer before its time is up, so a fallback's answer within
    `prompt` seconds shows that nobody asked. Unknown where after one of them there was none.
    """
    table = rows(recording)
    by_itself = table[(table["status"] == FALLBACK) & (table["latency"] <= prompt)]
    took = []
    for fault in faults:
        end = np.inf if fault.end is None else fault.end
        tripped = by_itself[by_itself["intended"].between(fault.start, end, inclusive="left")]
        if tripped.empty:
            return Interval.unknown("the fallback never answered at once", "s", len(table))
        took.append(float(tripped["intended"].min()) - fault.start)
    return t_interval(took, "s", least=0)


def time_to_recover(recording: Recording, healed: Sequence[float]) -> Interval:
    """Mean seconds from the ends of faults (Unix s) to the predictor's first answer after each.

    Unknown if after one of them none came.
    """
    table = rows(recording)
    answered = table[table["status"] == MODEL]["intended"].to_numpy(dtype=float)
    took = [float(np.min(answered[answered >= end], initial=np.inf)) - end for end in healed]
    if not np.isfinite(took).all():
        reason = "the predictor did not answer again while it was asked"
        return Interval.unknown(reason, "s", len(table))
    return t_interval(took, "s", least=0)


def changed_after(
    changes: Iterable[Mapping[str, Any]], circuit: str, state: str, begin: float
) -> float:
    """Seconds from `begin` to a circuit's next change into one of the STATES; infinite for none."""
    times = [
        change["at"] - begin
        for change in changes
        if change["circuit"] == circuit and change["state"] == state and change["at"] >= begin
    ]
    return min(times, default=np.inf)


def opened_after(changes: Iterable[Mapping[str, Any]], circuit: str, begin: float) -> float:
    """Seconds from `begin` to the next opening of a circuit; infinite if it stays closed."""
    return changed_after(changes, circuit, "opened", begin)


def time_to_open(
    changes: Iterable[Mapping[str, Any]], circuit: str, outages: Sequence[FaultLike]
) -> Interval:
    """Mean seconds from the beginning of an outage until a circuit opens.

    Unknown where it stayed closed in one of them: how long it would have taken nobody has seen.
    """
    told = list(changes)
    took = [opened_after(told, circuit, outage.start) for outage in outages]
    closed = int(np.isinf(took).sum())
    if closed or not took:
        reason = f"the circuit stayed closed in {closed} of {len(took)} outages"
        return Interval.unknown(reason, "s", len(took))
    return t_interval(took, "s", least=0)


def seconds_per_failure(
    changes: Iterable[Mapping[str, Any]], thresholds: Iterable[int], outages: Sequence[FaultLike]
) -> Interval:
    """Seconds for each failure that circuits count until they open, over all of the outages.

    Failures come as their requests do, at random, so the time until so many of them has a gamma
    distribution, and the interval is exact (Garwood, Biometrika 28, 1936). Unknown where a circuit
    stayed closed in one of the outages.
    """
    told, counted = list(changes), list(thresholds)
    took = sum(opened_after(told, str(k), outage.start) for k in counted for outage in outages)
    failures = sum(counted) * len(outages)
    if not failures or np.isinf(took):
        return Interval.unknown("a circuit stayed closed in an outage", "s")
    tail = (1 - CONFIDENCE) / 2
    # In units of the mean time of one failure.
    most, least = (float(scipy.special.gammaincinv(failures, q)) for q in (1 - tail, tail))
    return Interval(took / failures, took / most, took / least, failures, "s")


def time_to_close(
    changes: Iterable[Mapping[str, Any]], thresholds: Iterable[int], outages: Sequence[FaultLike]
) -> Interval:
    """Mean seconds from the end of an outage until a circuit closes that it has opened.

    Unknown where none was open, and where one was not seen to close.
    """
    told = list(changes)
    took = []
    for outage in outages:
        # One that goes on has no end, and nobody has seen a circuit close after it.
        end = np.inf if outage.end is None else outage.end
        for circuit in map(str, thresholds):
            if outage.start + opened_after(told, circuit, outage.start) < end:
                took.append(changed_after(told, circuit, "closed", end))
    return t_interval(took, "s", least=0)


# --- theory --------------------------------------------------------------------------------------


def expected_good(
    limit: float, *, calm: float, offered: float, capacity: float, seconds: float, wait: float
) -> float:
    """The predictor's answers in time, per second of a burst behind a bucket of tokens.

    The fluid limit (`report.Fluid`): what is let through beyond the capacity piles up, and once the
    pile takes longer than `wait` seconds every answer is late for as long as the burst lasts. The
    bucket holds BUCKET requests, and none where the `calm` before the burst already took more than
    the `limit`. Rates are in requests per second. Where nothing can `wait`, because an answer takes
    as long as that by itself, every one is late.
    """
    if wait <= 0:
        return 0.0
    held = BUCKET if limit > calm else 0
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

SOURCES = ("the predictor, in time", "the fallback, in time", "late or failed")
STATES = ("closed", "half-opened", "opened")


def who_answered(deadline: float) -> Callable[[pd.DataFrame], "pd.Series[Any]"]:
    """For each request of a table one of the SOURCES, by a deadline in seconds."""

    def source(table: pd.DataFrame) -> "pd.Series[Any]":
        timely = table["ok"].astype(bool) & (table["latency"] <= deadline)
        by_fallback = table["status"] == FALLBACK
        found = np.select([timely & ~by_fallback, timely], SOURCES[:2], SOURCES[2])
        return pd.Series(found, index=table.index)

    return source


def circuit_states(
    changes: Iterable[Mapping[str, Any]], circuit: str
) -> Sequence[tuple[float, str]]:
    """When a circuit changed (Unix s), and into which of the STATES."""
    return [(each["at"], each["state"]) for each in changes if each["circuit"] == circuit]
