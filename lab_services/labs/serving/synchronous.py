"""What the lab reads off the stack and the recordings, and the theory; no service imports this."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lab_services.report.queueing import Fluid, Queue
from lab_services.report.resampling import resampled
from lab_services.report.rounds import t_interval
from lab_services.report.stats import Interval, Requests, rows
from lab_services.traffic.recording import Recording

Board = list[Mapping[str, Any]]


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


def returned(recording: Recording, after: float) -> Interval:
    """Answers that came back per second, from `after` seconds on until the last was sent.

    It is what comes out under overload, where a queue hides what goes in. The interval is of up to
    eight stretches with as many answers each. Unknown from fewer than two answers.
    """
    table = rows(recording)
    begin = float(table["intended"].min()) + after
    back = (table["intended"] + table["latency"])[table["ok"].astype(bool)]
    inside = np.sort(back[(back >= begin) & (back <= table["intended"].max())].to_numpy())
    if len(inside) < 2 or inside[0] == inside[-1]:
        few = f"{len(inside)} answers came back in that time, a rate needs two"
        return Interval.unknown(few, "requests/s", len(inside))
    each = max(1, (len(inside) - 1) // 8)
    return t_interval(each / np.diff(inside[::each]), "requests/s", least=0)


def busy(worked: Sequence[tuple[float, float]]) -> Interval:
    """Share of the time at work, from one reading (seconds, processor seconds) to the next."""
    times, used = np.array(sorted(worked)).T
    return t_interval(np.diff(used) / np.diff(times), "share", least=0)


def halfway(requests: Requests) -> Interval:
    """Seconds that the answer takes for who comes halfway, where a queue grows all the time.

    The line through all answers at that place: their median is as sure, but blocks that are drawn
    of values with a trend do not know that. Unknown from fewer than 20 answers.
    """
    table = rows(requests)
    table = table[table["ok"].astype(bool)]
    if len(table) < 20:
        return Interval.unknown(f"{len(table)} answers, a line needs 20", "s", len(table))
    came, took = table["intended"].to_numpy(), table["latency"].to_numpy()
    since = came - (came[0] + came[-1]) / 2
    return resampled(
        lambda drawn: float(np.polyfit(drawn[0], drawn[1], 1)[1]),
        since,
        took,
        unit="s",
        block=len(took) // 10,
    )


def slower(latencies: npt.ArrayLike, seconds: float) -> float:
    """The share of measured latencies above `seconds`: what a deadline there would cut off.

    nan where none was measured, or the deadline is not known.
    """
    measured = np.asarray(latencies, dtype=float)
    if not len(measured) or np.isnan(seconds):
        return np.nan
    return float(np.mean(measured > seconds))


def neighbours_wait(
    q: float, *, threads: int, held: float, predictions: float, others: float
) -> float:
    """Seconds within which a share `q` of the requests gets a thread of a shared pool.

    `predictions` per second hold a thread for `held` seconds each, `others` per second for next to
    no time: one queue whose service time is `held` or nothing (see `Queue.wait_quantile`).
    """
    share = predictions / (predictions + others)
    # Of a time that is `held` with chance p and else 0: mean p * held, scv 1 / p - 1.
    queue = Queue(threads, share * held, service_scv=1 / share - 1)
    return queue.wait_quantile(q, predictions + others)


def seconds_lost(
    fault: float, *, rate: float, threads: int, well: float, ill: float, limit: float
) -> float:
    """How long after a fault of `fault` seconds answers still take more than `limit` seconds.

    The fluid limit (`report.Fluid`): while a prediction takes `ill` seconds, `rate` less `threads /
    ill` requests per second pile up, and nobody takes them away again, so the pool has to work off
    all of them at `threads / well`. It begins late: the predictions under way at the end still take
    half of `ill`, on average. Infinite where the pool cannot bear the rate even when all is well,
    nan where one of the numbers is not known.
    """
    if np.isnan([fault, rate, well, ill]).any():
        return np.nan
    drains = threads / well
    growth = rate - threads / ill
    if growth <= 0:
        return 0.0
    pile = growth * fault - threads + drains * ill / 2
    bearable = drains * max(0.0, limit - well)
    if rate >= drains:
        return np.inf
    return Fluid(drains).drain(pile - bearable, rate)


def untimely(recording: Recording, begin: float, limit: float) -> int:
    """Requests meant for the time from `begin` (Unix s) on without an answer within `limit` s."""
    table = rows(recording)
    table = table[table["intended"] >= begin]
    return int((~(table["ok"].astype(bool) & (table["latency"] <= limit))).sum())
