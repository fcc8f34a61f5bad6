"""What the lab reads off the stack and the recordings, and the theory; no service imports this."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from heapq import heapreplace
from typing import Any

import numpy as np
import numpy.typing as npt

from lab_services.report import leaving_out
from lab_services.report.fallbacks import FALLBACK
from lab_services.report.resampling import resampled
from lab_services.report.rounds import t_interval
from lab_services.report.stats import Interval, Requests, noted, rows
from lab_services.traffic.recording import Recording

Board = list[Mapping[str, Any]]
Times = npt.NDArray[np.float64]


def boards(
    flights: Sequence[Mapping[str, Any]], *, mean: float = 4, most: int = 20, seed: int = 0
) -> list[Board]:
    """Flights cut into boards whose lengths are geometric: many short ones, a few long ones.

    Each flight is on one board. Raises ValueError for a mean below 1 or lengths below 1.
    """
    if mean < 1 or most < 1:
        raise ValueError("A board has at least one flight.")
    random = np.random.default_rng(seed)
    lengths = np.minimum(random.geometric(1 / mean, len(flights)), most)
    ends = np.cumsum(lengths)
    whole = ends <= len(flights)
    return [
        list(flights[end - length : end])
        for end, length in zip(ends[whole], lengths[whole], strict=True)
    ]


def returned(recording: Recording, threads: int, after: float) -> Interval:
    """Answers of a full pool that came back per second, from `after` seconds on.

    It is what comes out under overload, where a queue hides what goes in; until the last request
    was sent. Threads that began together answer together, so the interval is of up to eight
    stretches in which each has answered as often. Unknown where there are fewer than two of them.
    """
    table = rows(recording)
    begin = float(table["intended"].min()) + after
    back = (table["intended"] + table["latency"])[table["ok"].astype(bool)]
    inside = np.sort(back[(back >= begin) & (back <= table["intended"].max())].to_numpy())
    each = threads * max(1, (len(inside) - 1) // threads // 8)
    seconds = np.diff(inside[::each])
    if len(seconds) < 2 or not seconds.all():
        few = f"{len(inside)} answers came back in that time, two of each thread are needed"
        return noted(Interval.unknown(few, "requests/s", len(inside)), recording)
    return noted(t_interval(each / seconds, "requests/s", least=0), recording)


def busy(worked: Sequence[tuple[float, float]], during: Recording) -> Interval:
    """Share of the time at work, from one reading (seconds, processor seconds) to the next."""
    times, used = np.array(sorted(worked)).T
    return noted(t_interval(np.diff(used) / np.diff(times), "share", least=0), during)


def as_queue(
    recording: Recording,
    threads: int,
    takes: Callable[[Mapping[Any, Any], float], float],
    patience: float = np.inf,
) -> Recording:
    """The recording with a column `expected`: the seconds of each request in one pool of threads.

    They get a thread first come, first served. `takes` gives the seconds for which a request, a
    row, holds its thread from the moment (Unix s) at which it gets one. Who has waited for longer
    than `patience` seconds then leaves without one and has no answer: infinite. So for these very
    arrivals it says what a formula says of their mean: J. Kiefer and J. Wolfowitz, "On the theory
    of queues with many servers", Transactions of the American Mathematical Society 78, 1955.
    """
    free = [-np.inf] * threads  # when each thread is free, as a heap
    found = []
    table = rows(recording)
    for request in table.to_dict("records"):
        came = float(request["intended"])
        begin = max(came, free[0])
        if begin - came > patience:
            found.append(np.inf)
            continue
        end = begin + takes(request, begin)
        heapreplace(free, end)
        found.append(end - came)
    return replace(recording, table=table.assign(expected=found))


def of_expected(recording: Recording, besides: float = 0.0) -> Interval:
    """By how many times the mean latency, less `besides` (s), is the mean that was expected.

    Requests are drawn with what is expected of each, so that chance in the arrivals cancels.
    Unknown where one was not answered, and where no time at all is expected.
    """
    table = rows(recording)
    if not table["ok"].all():
        return Interval.unknown("not all were answered", "ratio", len(table))
    if not table["expected"].any():
        return Interval.unknown("theory expects no time", "ratio", len(table))
    found = resampled(
        lambda drawn: float((drawn[0].mean() - besides) / drawn[1].mean()),
        table["latency"].to_numpy(dtype=float),
        table["expected"].to_numpy(dtype=float),
        unit="ratio",
        block=max(1, len(table) // 10),
    )
    return noted(found, recording)


def wherever(found: Callable[[float], Interval], given: Interval) -> Interval:
    """What is found for the value of something measured, with ends that hold for its ends as well.

    Unknown where one of the three is.
    """
    if not given.known:
        return Interval.unknown(given.note, "ratio", given.n)
    middle, *ends = (found(each) for each in (given.value, given.low, given.high))
    for each in (middle, *ends):
        if not each.known:
            return each
    low, high = min(e.low for e in (middle, *ends)), max(e.high for e in (middle, *ends))
    return replace(middle, low=low, high=high)


def off_theory(hasty: Recording, patient: Recording, seconds: float) -> Interval:
    """The share that a deadline has sent to the fallback, less the share that 1 - F(d) expects.

    The `patient` ones got the same requests in turn, and so many of them take longer than that many
    `seconds`. What slowed down both at the same moment cancels.
    """
    cut = (rows(hasty)["status"] == FALLBACK).to_numpy(dtype=float)
    slower = (latencies(patient) > seconds).astype(float)
    both = min(len(cut), len(slower))
    found = t_interval(cut[:both] - slower[:both], "share", least=-1, most=1, dependent=True)
    return noted(found, hasty, patient)


def tail_ratio(hasty: Recording, patient: Recording, q: float) -> Interval:
    """The `q` quantile of one recording over that of another, which got the same requests in turn.

    Alone their quantiles have no upper end from few answers that depend on one another. Here a
    deadline is that end: what is slower than the slowest that was seen would be so by little.
    """
    both = min(len(rows(hasty)), len(rows(patient)))
    found = resampled(
        lambda drawn: float(np.quantile(drawn[0], q) / np.quantile(drawn[1], q)),
        *(latencies(each)[:both] for each in (hasty, patient)),
        unit="ratio",
        block=10,
    )
    return noted(found, hasty, patient)


def ratio_of_sums(counts: Sequence[int], expected: Sequence[int]) -> Interval:
    """All counts over all that were expected, with how far the rounds lie apart.

    Each round is left out in turn: one with few says less than one with many. Unknown where the
    others expect nothing.
    """
    n = len(counts)
    if not all(sum(expected) - each for each in expected):
        return Interval.unknown("nothing is expected of the other rounds", "ratio", n)
    value, low, high = leaving_out.interval(
        [[np.array([each], dtype=float) for each in series] for series in (counts, expected)],
        lambda pair: float(pair[0].sum() / pair[1].sum()),
        enough=2,  # so that no round stands for itself
    )
    return Interval(value, max(0.0, low), high, n, "ratio")


def late(latencies: npt.ArrayLike, limit: float) -> int:
    """How many of these (s) are above the limit; those without an answer are infinite."""
    return int((np.asarray(latencies, dtype=float) > limit).sum())


def latencies(requests: Requests) -> Times:
    """Seconds until the answer, infinite for those that got none."""
    table = rows(requests)
    return np.where(table["ok"].astype(bool), table["latency"], np.inf).astype(float)
