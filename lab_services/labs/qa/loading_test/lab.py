"""What the lab's cells use: mixes, the law of capacity, tests in shapes, repairs, a gate, memory.

No service imports this. Rates are requests per second, times are seconds.
"""

import bisect
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from prometheus_client.parser import text_string_to_metric_families
from scipy import optimize
from scipy import stats as distributions

from lab_services.report.concurrency import in_flight
from lab_services.report.fit import Line
from lab_services.report.proportions import share
from lab_services.report.queueing import lindley
from lab_services.report.resampling import resampled
from lab_services.report.rounds import t_interval
from lab_services.report.stats import Interval, Quantile, rows
from lab_services.stack import Stack
from lab_services.traffic.parts import Part, places, spans
from lab_services.traffic.recording import Recording
from lab_services.traffic.request import Request
from lab_services.traffic.schedules import Schedule
from lab_services.waiting import tries

Floats = npt.NDArray[np.float64]
Board = list[Mapping[str, Any]]
DRAWS = 2000
GROUPS = 20
NEIGHBOURS = 21


# --- what is asked ------------------------------------------------------------------------------


def boards(flights: Sequence[Mapping[str, Any]], lengths: Iterable[int]) -> list[Board]:
    """Boards of these lengths, cut from the flights in turn; when they end they begin again.

    Raises ValueError for a length below 1 and without flights.
    """
    wanted = list(lengths)
    if not flights or any(length < 1 for length in wanted):
        raise ValueError("A board has at least one flight.")
    made: list[Board] = []
    begin = 0
    for length in wanted:
        made.append([flights[(begin + place) % len(flights)] for place in range(length)])
        begin += length
    return made


def lengths(count: int, pack: Mapping[int, int], seed: int = 0) -> list[int]:
    """So many lengths, dealt from shuffled packs that hold each length as often as `pack` says.

    Every pack is the mix exactly, so a short test has it too. Raises ValueError for an empty pack.
    """
    one = [length for length, often in pack.items() for _ in range(often)]
    if not one:
        raise ValueError("A pack has at least one board.")
    random = np.random.default_rng(seed)
    packs = [random.permutation(one).tolist() for _ in range(math.ceil(count / len(one)))]
    return [int(length) for each in packs for length in each][:count]


def scv(pack: Mapping[int, int]) -> float:
    """The squared coefficient of variation of a pack's lengths: variance over squared mean."""
    values = np.repeat(list(pack), list(pack.values()))
    return float(values.var() / values.mean() ** 2)


def in_order(
    url: str,
    boards: Mapping[str, Sequence[Board]],
    arrivals: Schedule,
    parts: Sequence[Part],
) -> list[Request]:
    """A request for each arrival, with a board of the part of the schedule that it falls into.

    Each request has the labels `part`, its name, and `flights`, the length of its board.
    """
    return [
        Request(
            url,
            json=(board := boards[name][number % len(boards[name])]),
            labels={"part": name, "flights": len(board)},
        )
        for number, name in enumerate(parts[place][0] for place in places(parts, arrivals))
    ]


# --- what a board takes -------------------------------------------------------------------------


def work(recording: Recording) -> Line:
    """Seconds that a board of n flights takes: so much in all, and so much a flight.

    Fitted to the medians by length of a recording in which nobody waited; neither is negative.

    Unknown (nan) where all answers are to boards of one length, which cannot tell what a flight
    takes.
    """
    table = rows(recording)
    table = table[table["ok"].astype(bool)]
    middle = table.groupby("flights")["latency"].median()
    if len(middle) < 2:
        return Line(math.nan, math.nan)
    matrix = np.column_stack([np.ones(len(middle)), middle.index.to_numpy(dtype=float)])
    # Weighted to relative errors, or the longest board would decide alone.
    weights = 1 / middle.to_numpy(dtype=float)
    found, _ = optimize.nnls(matrix * weights[:, None], np.ones(len(middle)))
    return Line(float(found[0]), float(found[1]))


def holding(work: Line, seconds: float, flights: float) -> Line:
    """The same for each flight, and `seconds` in all for a board of so many flights.

    A latency holds the way there and back too, which keeps no worker busy: what one is busy for
    comes from what it answers per second while it is never idle.
    """
    fixed = seconds - work.each * flights
    return Line(0.0 if fixed < 0 else fixed, work.each)


def replayed(recording: Recording, work: Line, q: float) -> Interval:
    """The quantile that one worker would have made of a recording's arrivals and boards."""
    table = rows(recording)
    if table.empty:
        return Interval.unknown("no request", "s")
    services = np.array([work(n) for n in table["flights"]])
    took = lindley(table["intended"], services) + services
    return Interval.exact(float(np.quantile(took, q)), "s")


# --- closed and open ----------------------------------------------------------------------------


def corrected(recording: Recording, usual: float) -> Recording:
    """A closed loop's recording with the requests that its users would have sent while they waited.

    Who usually asks every `usual` seconds and waits for longer has left out requests: they would
    have waited for one `usual` less each, down to that. It is the correction of G. Tene's
    HdrHistogram. Where the usual time is not known, nothing can be repaired, and the note says so.
    Raises ValueError for a time that is not above 0.
    """
    if math.isnan(usual):
        note = f"{recording.note} What is usual is not known, so nothing is repaired."
        return replace(recording, note=note.strip())
    if not usual > 0:
        raise ValueError(f"Nobody asks every {usual:g} s.")
    table = rows(recording)
    slow = table[table["latency"] >= 2 * usual]
    counts = np.floor(slow["latency"].to_numpy() / usual).astype(int) - 1
    added = slow.loc[slow.index.repeat(counts)].copy()
    later = usual * np.concatenate([np.empty(0), *(np.arange(1, n + 1) for n in counts)])
    added["intended"] += later
    added["latency"] -= later
    joined = pd.concat([table, added], ignore_index=True)
    return replace(recording, table=joined.sort_values("intended", ignore_index=True))


def times_slower(one: Recording, other: Recording, tail: Quantile) -> Interval:
    """The `tail` of one tester over that of another, who both met the same stall.

    The stall is part of the test and no accident: what differs from run to run is which of its
    moments were asked in. So requests are drawn one by one, and not in blocks that hold all of a
    stall or nothing of it. Unknown where one of the tails is.
    """
    tails = tail(one), tail(other)
    if not all(each.known for each in tails):
        return tails[0].over(tails[1])
    latencies = (
        table.loc[table["ok"].astype(bool), "latency"] for table in map(rows, (one, other))
    )
    return resampled(
        lambda drawn: tail.of(drawn[0]) / tail.of(drawn[1]),
        *(each.to_numpy(float) for each in latencies),
        unit="ratio",
        paired=False,
    )


def slow(recording: Recording, seconds: float) -> npt.NDArray[np.bool_]:
    """Which requests took longer than `seconds`, or were not answered."""
    table = rows(recording)
    found: npt.NDArray[np.bool_] = (
        (table["latency"] > seconds) | ~table["ok"].astype(bool)
    ).to_numpy()
    return found


def slower(recording: Recording, seconds: float) -> Interval:
    """How many requests are `slow`; unknown without any."""
    found = slow(recording, seconds)
    if not len(found):
        return Interval.unknown(recording.note or "no request", "requests")
    return Interval.exact(int(found.sum()), "requests")


def closed_throughput(recording: Recording, users: int) -> Interval:
    """Answers per second of a closed loop without a pause: users over mean latency (Little).

    It counts no answers in a window, so neither end of the window matters. An end is open where
    the mean may be 0.
    """
    table = rows(recording)
    answered = table.loc[table["ok"].astype(bool), "latency"]
    mean = t_interval(answered, least=0.0, dependent=True)
    if not mean.known:
        return Interval.unknown(recording.note or "no answer", "requests/s")
    high = users / mean.low if mean.low > 0 else math.inf
    return Interval(users / mean.value, users / mean.high, high, mean.n, "requests/s", mean.note)


# --- the law of capacity ------------------------------------------------------------------------


@dataclass(frozen=True)
class Law:
    """The universal scalability law: what `n` at once get done per second.

    N. J. Gunther, "Guerrilla Capacity Planning", 2007, chapter 4: `alone` is what one gets,
    `contention` the share of the work that queues for one thing, and `coherence` what every pair
    costs that has to agree.
    """

    alone: float
    contention: float
    coherence: float

    def __call__(self, n: float) -> float:
        """Throughput with `n` at once."""
        slowed = 1 + self.contention * (n - 1) + self.coherence * n * (n - 1)
        return self.alone * n / slowed

    @property
    def peak(self) -> float:
        """The n beyond which more bring less; infinite without coherence."""
        if self.coherence <= 0:
            return math.inf
        return math.sqrt(max(0.0, 1 - self.contention) / self.coherence)


def fit_law(measured: Mapping[float, float]) -> Law:
    """The law fitted to throughputs by their n, with relative errors and no negative coefficient.

    n / X = (1 + c (n - 1) + k n (n - 1)) / alone is linear in 1/alone, c/alone and k/alone: it is
    a non-negative least-squares problem (Lawson and Hanson, 1974), without starting values. With
    fewer than three points, or one that is not known or not above 0, the law is unknown (nan).
    """
    n = np.array(sorted(measured), dtype=float)
    x = np.array([measured[at] for at in sorted(measured)], dtype=float)
    if len(n) < 3 or not (x > 0).all():
        return Law(math.nan, math.nan, math.nan)
    matrix = np.column_stack([np.ones(len(n)), n - 1, n * (n - 1)]) * (x / n)[:, None]
    (inverse, queued, agreed), _ = optimize.nnls(matrix, np.ones(len(n)))
    if inverse <= 0:
        return Law(math.nan, math.nan, math.nan)
    return Law(1 / inverse, queued / inverse, agreed / inverse)


def foretold(recordings: Mapping[int, Recording], unseen: int) -> Interval:
    """What the law says of `unseen` users, fitted to closed loops with other numbers of them.

    Answers that come one after the other have shared a queue, so up to GROUPS groups of neighbours
    are drawn of each loop. Unknown where one has too few answers.
    """
    others = sorted(set(recordings) - {unseen})
    means = []
    for n in others:
        table = rows(recordings[n])
        latencies = table.loc[table["ok"].astype(bool), "latency"].to_numpy(float)
        groups = np.array_split(latencies, GROUPS)
        means.append(np.array([group.mean() for group in groups if len(group)]))

    def from_law(drawn: Sequence[Floats]) -> float:
        latencies = (float(each.mean()) for each in drawn)
        came_out = {float(n): n / mean for n, mean in zip(others, latencies, strict=True)}
        return fit_law(came_out)(unseen)

    return resampled(from_law, *means, unit="requests/s", paired=False)


# --- tests in shapes ----------------------------------------------------------------------------


class Shapes(NamedTuple):
    """One schedule of several tests, and when each of them begins and ends (seconds)."""

    parts: list[tuple[float, float]]
    """Pairs (rate, seconds) before the ramp."""
    ramp: tuple[float, float, float]
    """The rates from and to, and the seconds of the break-point test."""
    times: dict[str, tuple[float, float]]


def shapes(capacity: float, unit: float, spike: float, ramp: float) -> Shapes:
    """A low step, a high one, a spike of `spike` s at twice the capacity, and a ramp of `ramp` s.

    `unit` is the length of a step. Rates are shares of the `capacity`.
    """
    plan = [
        ("low step", 0.4, unit),
        ("high step", 0.8, unit),
        ("rest", 0.4, unit / 2),
        ("spike", 2.0, spike),
        ("after the spike", 0.4, 2.5 * spike),
    ]
    times = spans([*((name, seconds) for name, _, seconds in plan), ("break point", ramp)])
    parts = [(share * capacity, seconds) for _, share, seconds in plan]
    return Shapes(parts, (0.4 * capacity, 1.8 * capacity, ramp), times)


def recovery(recording: Recording, begin: float, end: float, fewer: float) -> float:
    """Seconds from `begin` (Unix s) until `fewer` requests or less are under way, to a hundredth.

    Where that is not so until `end`, the whole time.
    """
    moments = np.arange(begin, end, 0.01)
    calm = np.flatnonzero(in_flight(recording, moments) <= fewer)
    return float(moments[calm[0]] - begin) if len(calm) else end - begin


def broke_at(recording: Recording, ramp: tuple[float, float, float], limit: float) -> Interval:
    """The rate that a ramp had reached when half of its answers were in time for the last time.

    `ramp` are the rates from and to and the seconds; the recording holds the ramp alone. Half of
    NEIGHBOURS requests that came one after the other, so that a hiccup decides nothing. Unknown
    where no half was in time.
    """
    start, end, seconds = ramp
    table = rows(recording)
    middle = table["latency"].rolling(NEIGHBOURS, center=True).median().to_numpy()
    timely = table["intended"].to_numpy()[middle <= limit]
    if not len(timely):
        reason = f"among {len(table)} answers no {NEIGHBOURS} in a row were in time by half"
        return Interval.unknown(reason, "requests/s", len(table))
    passed = float(timely.max() - table["intended"].min())
    return Interval.exact(start + (end - start) * min(1.0, passed / seconds), "requests/s")


def capacity_of_break(rate: float, ramp: tuple[float, float, float], limit: float) -> float:
    """The capacity C of a service that a ramp of slope a broke at C + sqrt(2 a C limit) = `rate`.

    Beyond C the backlog grows with the square of the time, a t^2 / 2, and must hold `limit` seconds
    of work before anybody is late; by then the ramp has gone on. Solved for the root of C. nan
    where the rate is not known.
    """
    start, end, seconds = ramp
    half = math.sqrt(2 * (end - start) / seconds * limit) / 2
    return (math.sqrt(rate + half**2) - half) ** 2


def replicas_for(target: float, one: Interval, room: float = 1.0) -> int | None:
    """Replicas for a target rate, by the lower end of what one bears and the share of it to use.

    They must not share cores. None where one bears nothing for certain. Raises ValueError for a
    room that is no share.
    """
    if not 0 < room <= 1:
        raise ValueError(f"{room:g} is no share that may be used.")
    return math.ceil(target / (one.low * room)) if one.low > 0 else None


# --- the gate -----------------------------------------------------------------------------------


def medians(
    recording: Recording, label: str, values: Sequence[str], each: int
) -> dict[str, Floats]:
    """The median latency of every `each` requests of a label's value, in order: its rounds.

    All values get as many rounds as the shortest has. Raises ValueError where that is below two.
    """
    table = rows(recording)
    by = {value: table.loc[table[label] == value, "latency"].to_numpy() for value in values}
    count = min(map(len, by.values())) // each
    if count < 2:
        raise ValueError(f"Rounds of {each} requests need at least {2 * each} of every kind.")
    return {
        value: np.median(latencies[: count * each].reshape(count, each), axis=1)
        for value, latencies in by.items()
    }


def lower_ends(new: npt.ArrayLike, old: npt.ArrayLike) -> Floats:
    """Lower ends of the ratios' 95 % intervals, a row of rounds each, as `report.paired_ratio` has.

    Rounds stand in the last axis and are paired.
    """
    logs = np.log(np.asarray(new, dtype=float)) - np.log(np.asarray(old, dtype=float))
    n = logs.shape[-1]
    half = distributions.t.ppf(0.975, n - 1) * logs.std(axis=-1, ddof=1) / math.sqrt(n)
    ends: Floats = np.exp(logs.mean(axis=-1) - half)
    return ends


def alarms(
    new: npt.ArrayLike,
    old: npt.ArrayLike,
    *,
    rounds: int,
    tolerance: float,
    slower: float = 0.0,
    seed: int = 0,
) -> Interval:
    """The share of DRAWS builds that the gate stops, each of `rounds` rounds drawn from those kept.

    It stops one when the lower end of new over old is above 1 + `tolerance`. `slower` makes the new
    ones slower by that share, for changes that nobody has built. More draws are no more evidence:
    the interval is as wide as other rounds, drawn from those kept, would make it.
    """
    fresh = np.asarray(new, dtype=float) * (1 + slower)
    stale = np.asarray(old, dtype=float)
    random = np.random.default_rng(seed)

    def stopped(kept: Sequence[Floats], builds: int) -> npt.NDArray[np.bool_]:
        picks = random.integers(0, len(kept[0]), (builds, rounds))
        return lower_ends(kept[0][picks], kept[1][picks]) > 1 + tolerance

    drawn = share(stopped((fresh, stale), DRAWS))
    kept = resampled(
        lambda kept: float(stopped(kept, DRAWS // 10).mean()), fresh, stale, unit="share", draws=200
    )
    low, high = min(drawn.low, kept.low), max(drawn.high, kept.high)
    return replace(drawn, low=low, high=high, n=len(fresh))


def naive_alarms(latencies: npt.ArrayLike, *, requests: int, q: float, seed: int = 0) -> Interval:
    """The share of DRAWS builds that are stopped because their quantile is above the last one's.

    Both sides are drawn from the same latencies, so nothing has changed and every alarm is false.
    It is a replay, and its interval that of the draws alone.
    """
    values = np.asarray(latencies, dtype=float)
    random = np.random.default_rng(seed)
    sides = [np.quantile(random.choice(values, (DRAWS, requests)), q, axis=1) for _ in range(2)]
    return share(sides[0] > sides[1])


def power(change: float, *, spread: float, rounds: int, tolerance: float) -> float:
    """The chance that the gate stops a build that is slower by the share `change`.

    `spread` is the standard deviation of the rounds' log ratios. The gate is a t test against the
    tolerance, so its power is that of a noncentral t (Johnson, Kotz and Balakrishnan, "Continuous
    Univariate Distributions" volume 2, 2nd edition, 1995, chapter 31).
    """
    off = (math.log1p(change) - math.log1p(tolerance)) / (spread / math.sqrt(rounds))
    critical = distributions.t.ppf(0.975, rounds - 1)
    return float(distributions.nct.sf(critical, rounds - 1, off))


def fewest_rounds(
    change: float, *, spread: float, tolerance: float, chance: float = 0.9
) -> int | None:
    """The least number of rounds, two at least, with which the gate's `power` reaches a chance.

    None where a million do not suffice, or the spread is not known.
    """

    def suffices(rounds: int) -> bool:
        return power(change, spread=spread, rounds=rounds, tolerance=tolerance) >= chance

    enough = 2
    while not suffices(enough):
        enough *= 2
        if enough > 1_000_000:
            return None
    # The power grows with the rounds.
    return bisect.bisect_left(range(enough), True, lo=2, key=suffices)


# --- what the service says ----------------------------------------------------------------------


class Said(NamedTuple):
    """What the predictor says of its process, and of the requests to one path."""

    processor: float
    """Seconds of a core."""
    memory: float
    """Bytes."""
    requests: float
    """Those answered with 200."""
    seconds: float
    """From their arrival to their answer, all together."""

    def since(self, before: "Said") -> "Said":
        """What has come since `before`."""
        return Said(*(now - then for now, then in zip(self, before, strict=True)))


def said(stack: Stack, path: str) -> Said:
    """What the first replica of the predictor says of itself, and of a path, since it began.

    A path that nobody has asked for has no requests; processor and memory are nan where the
    platform does not tell them (it has no /proc).
    """
    families = text_string_to_metric_families(stack.text("predictor", "/metrics"))
    found = {
        sample.name: float(sample.value)
        for family in families
        for sample in family.samples
        if {"path": path, "status": "200"}.items() <= sample.labels.items() or not sample.labels
    }
    return Said(
        found.get("process_cpu_seconds_total", math.nan),
        found.get("process_resident_memory_bytes", math.nan),
        found.get("request_seconds_count", 0.0),
        found.get("request_seconds_sum", 0.0),
    )


class Pace(NamedTuple):
    """How a predictor worked for a while."""

    busy: Interval
    """The share of a core's time that it took."""
    rate: Interval
    """Requests to a path per second."""


def pace(stack: Stack, path: str, seconds: float, parts: int = 5) -> Pace:
    """How the predictor works for `seconds`, with the spread between so many parts of them.

    They begin with the first request, for which it waits as long. What the predictor does not tell
    of itself is unknown, as with `said`.
    """
    idle = said(stack, path).requests
    for _ in tries(seconds):
        if said(stack, path).requests > idle:
            break
    told = [(time.monotonic(), said(stack, path))]
    for _ in range(parts):
        time.sleep(seconds / parts)
        told.append((time.monotonic(), said(stack, path)))
    passed = [(after - before, now.since(then)) for (before, then), (after, now) in pairwise(told)]
    return Pace(
        t_interval([since.processor / lasted for lasted, since in passed], "share", least=0.0),
        t_interval([since.requests / lasted for lasted, since in passed], "requests/s", least=0.0),
    )
