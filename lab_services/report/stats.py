"""What a recording says: quantiles, goodput, throughput, errors, each with its 95 % interval.

Every function takes a recording or its table. Rows marked as warm-up are dropped. Latencies count
from the intended start of a request, and only correct answers have one: a failed request is no
fast answer, so read quantiles together with goodput and errors (`summary` shows all of them).

Where measurements were repeated in rounds (A B A B), label the requests with `round`: a comparison
pairs what was measured in the same round, and intervals of five rounds or more know how far rounds
lie apart.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
import scipy

from lab_services.report import bootstrap, leaving_out, numbers
from lab_services.report.bootstrap import CONFIDENCE, Series
from lab_services.traffic.disturbance import BEARS, Disturbance

ROUND = "round"
_LATE_SHARE = 0.1
_SEEN_SHARE = 0.05
_ZERO = "one of the two may be zero"


class Recorded(Protocol):
    """What is needed of a recording."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per request: intended (Unix s), latency (s), ok, warmup and labels."""

    @property
    def note(self) -> str:
        """Empty, or why the traffic was not what was asked for."""

    def disturbed(self, bears: float) -> str:
        """Empty, or what else the machine did, where it took a larger share of the time."""

    @property
    def disturbance(self) -> Disturbance:
        """What else the machine did, slice by slice."""


Requests = Recorded | pd.DataFrame


@dataclass(frozen=True)
class Interval:
    """A measured value with the ends of its 95 % interval, all in `unit`.

    `n` is how many requests it comes from. `note` says what speaks against it (traffic that
    could not keep its schedule); an end that the requests leave open is infinite. What could not
    be measured is unknown: `value` and both ends are nan and `note` is the reason. An infinite
    `value` is taken as unknown too, as nothing measured is infinite.
    """

    value: float
    low: float
    high: float
    n: int
    unit: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            reason = self.note or (numbers.written(self.value) if math.isinf(self.value) else "")
            for name in ("value", "low", "high"):
                object.__setattr__(self, name, math.nan)
            object.__setattr__(self, "note", reason or numbers.UNKNOWN)

    def __str__(self) -> str:
        if not self.known:
            why = "" if self.note == numbers.UNKNOWN else f" ({self.note})"
            return f"{numbers.UNKNOWN}{why}"
        value = numbers.written(self.value, self.unit, self.low, self.high)
        if self.low == self.high:
            return value
        return f"{value} ({numbers.written_range(self.value, self.unit, self.low, self.high)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)

    @classmethod
    def exact(cls, value: float | None, unit: str = "") -> "Interval":
        """A counted value, which has no interval; unknown for None, nan and infinity."""
        counted = math.nan if value is None else value
        return cls(counted, counted, counted, 1, unit)

    @classmethod
    def unknown(cls, reason: str, unit: str = "", n: int = 0) -> "Interval":
        """What could not be measured, and why.

        >>> Interval.unknown("no request came back", "s")
        not known (no request came back)
        """
        return cls(math.nan, math.nan, math.nan, n, unit, reason)

    def scaled(self, by: float, unit: str) -> "Interval":
        """The value and its ends times `by` (above 0), in another unit; the note stays.

        Unknown where `by` is nan or infinite, because what it was computed from is not known.

        >>> Interval(90.0, 85.0, 95.0, 300, "requests/s").scaled(1 / 100, "ratio").value
        0.9
        """
        if not math.isfinite(by):
            return Interval.unknown(self.note or "what it is scaled by is not known", unit, self.n)
        return Interval(self.value * by, self.low * by, self.high * by, self.n, unit, self.note)

    def minus(self, other: "Interval") -> "Interval":
        """This less the `other`, which is independent of it, in the same unit.

        MOVER, for intervals of any kind: squares of the distances to their ends add up (Zou and
        Donner, Statistics in Medicine 27, 2008; of shares it is Newcombe's method 10, Statistics in
        Medicine 17, 1998). Of values that were measured in pairs it is wider than it need be.
        Unknown where one of the two is.

        >>> Interval(0.9, 0.87, 0.92, 500, "share").minus(Interval(0.5, 0.46, 0.54, 500, "share"))
        40.0 % (35.0 to 44.5 %)
        """
        if not (self.known and other.known):
            return self._unknown_with(other, self.unit)
        down = math.hypot(self.value - self.low, other.high - other.value)
        up = math.hypot(self.high - self.value, other.value - other.low)
        value, n = self.value - other.value, min(self.n, other.n)
        return Interval(value, value - down, value + up, n, self.unit, _together(self, other))

    def over(self, other: "Interval") -> "Interval":
        """By how many times this is the `other`, which is independent of it and above 0.

        MOVER for ratios: Donner and Zou, Statistical Methods in Medical Research 21, 2012. Unknown
        where one of the two is, and where the `other` may be 0.

        >>> Interval(30, 28, 32, 500, "s").over(Interval(10, 9, 11, 500, "s"))
        3.00× (2.67 to 3.39×)
        """
        if not (self.known and other.known):
            return self._unknown_with(other, "ratio")
        n = min(self.n, other.n)
        if other.low <= 0:
            return Interval.unknown(_ZERO, "ratio", n)
        low = -_highest_ratio(-self.value, -self.low, other)
        high = _highest_ratio(self.value, self.high, other)
        value = self.value / other.value
        return Interval(value, low, high, n, "ratio", _together(self, other))

    def _unknown_with(self, other: "Interval", unit: str) -> "Interval":
        reasons = dict.fromkeys(each.note for each in (self, other) if not each.known)
        return Interval.unknown("; ".join(reasons), unit, min(self.n, other.n))


class Statistic(ABC):
    """A number computed from a recording: call it with the recording."""

    unit: str
    label: str
    # The share of its time that something else may take. A stall is felt until its backlog is gone.
    bears: float = BEARS

    @abstractmethod
    def __call__(self, requests: Requests) -> Interval:
        """The statistic with its interval."""

    @abstractmethod
    def rounds(self, requests: Requests) -> dict[Any, Series]:
        """The series it is computed from, in the order of time, for each round."""

    @abstractmethod
    def of(self, series: Series) -> float:
        """The statistic of one series."""

    @abstractmethod
    def marks(self, series: Series) -> Series:
        """The series whose dependence decides the length of blocks."""


@dataclass(frozen=True)
class Quantile(Statistic):
    """Latency below which a share `q` of the correct answers lies, in seconds.

    The interval runs from one order statistic to another (Conover, section 3.2), with as many
    independent requests as their dependence leaves. Blocks drawn at random cannot go beyond the
    slowest request seen: simulated near saturation (M/M/1 at 0.8, 4,000 requests), the block
    bootstrap's 95 % interval of p99 held the true one in 44 % of trials, this one in 85 %.
    Of several rounds it is at least as wide as what leaving them out gives (`leaving_out`).
    Its upper end is infinite where too few requests lie above.
    """

    q: float

    def __post_init__(self) -> None:
        if not 0 < self.q < 1:
            raise ValueError(f"A quantile lies between 0 and 1, not at {self.q}.")

    @property
    def unit(self) -> str:  # type: ignore[override]
        return "s"

    @property
    def label(self) -> str:  # type: ignore[override]
        return f"p{self.q * 100:g} latency"

    @property
    def bears(self) -> float:  # type: ignore[override]
        # A fifth of those beyond it: some of the time is enough to fill that part with a backlog.
        return (1 - self.q) / 5

    def __call__(self, requests: Requests) -> Interval:
        series = np.concatenate([*self.rounds(requests).values(), np.empty(0)])
        if reason := _too_few(self, len(series)):
            return Interval.unknown(_with(reason, requests), self.unit, len(series))
        effective = len(series) / bootstrap.design_effect(self.marks(series))
        low, high = share_ends(self.q, effective)
        ordered = np.sort(series)
        last = len(series) - 1
        # Less than one independent request above the end: it may lie anywhere.
        top = math.inf if (1 - high) * effective < 1 else ordered[math.ceil(high * last)]
        bottom = ordered[math.floor(low * last)]
        value = self.of(series)
        found = Interval(
            value, float(bottom), float(top), len(series), self.unit, note(requests, self.bears)
        )
        return _with_rounds(found, self, requests)

    def rounds(self, requests: Requests) -> dict[Any, Series]:
        return _latencies(requests)

    def of(self, series: Series) -> float:
        # The order statistic itself: np.quantile's interpolation costs four times as much.
        at = min(int(self.q * len(series)), len(series) - 1)
        return float(np.partition(series, at)[at])

    def marks(self, series: Series) -> Series:
        return (series > self.of(series)).astype(float)


@dataclass(frozen=True)
class Mean(Statistic):
    """Mean latency of the correct answers in seconds: what formulas of queueing are about.

    `scale` is the time in seconds beside which the mean is looked at, where that is another than
    the mean itself: to a mean the generator's mean lateness matters, and only where it is visible
    on that scale.
    """

    scale: float = 0.0
    unit = "s"
    label = "mean latency"
    bears = 0.005  # a few who wait long move it

    def __call__(self, requests: Requests) -> Interval:
        answered = sum(map(len, self.rounds(requests).values()))
        if answered < 2:
            reason = _with(f"{answered} correct answers, a mean needs 2", requests)
            return Interval.unknown(reason, self.unit, answered)
        seen = _SEEN_SHARE * self.scale
        told = _unless_late(requests, lambda late: late.mean() <= seen, self.bears)
        return _left_out(self, requests, answered, told)

    def rounds(self, requests: Requests) -> dict[Any, Series]:
        return _latencies(requests)

    def of(self, series: Series) -> float:
        return float(series.mean())

    def marks(self, series: Series) -> Series:
        return series


@dataclass(frozen=True)
class Throughput(Statistic):
    """Correct answers that came back per second while requests were being sent.

    Under overload this is the service's capacity, whatever was offered. Answers are counted in
    slices of time, which is also what is resampled.
    """

    slices: int = 100
    bears = 0.05  # what is lost is as much as the time in which it was lost

    @property
    def unit(self) -> str:  # type: ignore[override]
        return "requests/s"

    @property
    def label(self) -> str:  # type: ignore[override]
        return "throughput"

    def __call__(self, requests: Requests) -> Interval:
        n = len(rows(requests))
        if not self.rounds(requests):
            reason = f"{n} requests are too few for a rate"
            return Interval.unknown(_with(reason, requests), self.unit, n)
        return _left_out(self, requests, n, note(requests, self.bears))

    def rounds(self, requests: Requests) -> dict[Any, Series]:
        parts = _parts(rows(requests)).items()
        return {key: self._rates(part) for key, part in parts if _lasting(part) > 0}

    def _rates(self, part: pd.DataFrame) -> Series:
        begin, end = part["intended"].min(), part["intended"].max()
        answered = part[part["ok"].astype(bool)]
        back = (answered["intended"] + answered["latency"]).to_numpy(dtype=float)
        counts, _ = np.histogram(back, bins=self.slices, range=(begin, end))
        rates: Series = counts * (self.slices / (end - begin))
        return rates

    def of(self, series: Series) -> float:
        return float(series.mean())

    def marks(self, series: Series) -> Series:
        return series


@dataclass(frozen=True)
class Share(Statistic, ABC):
    """A share of the requests, times `rate`: its interval is a binomial one.

    Leaving out and drawing again give no interval at all where every request succeeds; the
    binomial one does, with as many independent requests as their dependence leaves
    (`bootstrap.design_effect`). Where all of them succeed, no dependence can be seen, and each
    counts. Of several rounds it is at least as wide as what leaving them out
    gives (`leaving_out`).
    """

    @abstractmethod
    def hit(self, table: pd.DataFrame) -> "pd.Series[bool]":
        """Which requests count."""

    def rate(self, requests: Requests) -> float:
        """What the share is multiplied by."""
        return 1.0

    def note(self, requests: Requests) -> str:
        """What speaks against the share."""
        return note(requests)

    def __call__(self, requests: Requests) -> Interval:
        if reason := self.unknown(requests):
            return Interval.unknown(_with(reason, requests), self.unit, len(rows(requests)))
        joined = np.concatenate(list(self.rounds(requests).values()))
        n = len(joined) / bootstrap.design_effect(joined)
        share = float(joined.mean())
        low, high = share_ends(share, n)
        told = self.note(requests)
        found = Interval(share, low, high, len(joined), self.unit, told)
        return _with_rounds(found, self, requests, most=1.0).scaled(self.rate(requests), self.unit)

    def unknown(self, requests: Requests) -> str:
        """Why the share cannot be told, or nothing."""
        return "" if len(rows(requests)) else "no requests"

    def rounds(self, requests: Requests) -> dict[Any, Series]:
        table = rows(requests)
        return _by_round(table.assign(hit=self.hit(table).astype(float)), "hit")

    def of(self, series: Series) -> float:
        return float(series.mean())

    def marks(self, series: Series) -> Series:
        return series


@dataclass(frozen=True)
class ErrorShare(Share):
    """Share of requests without a correct answer."""

    unit = "share"
    label = "errors"

    def hit(self, table: pd.DataFrame) -> "pd.Series[bool]":
        return ~table["ok"].astype(bool)


@dataclass(frozen=True)
class Goodput(Share):
    """Correct answers inside the `deadline` (seconds) per second of sending."""

    deadline: float
    unit = "requests/s"
    label = "goodput"

    def hit(self, table: pd.DataFrame) -> "pd.Series[bool]":
        return table["ok"].astype(bool) & (table["latency"] <= self.deadline)

    def rate(self, requests: Requests) -> float:
        return offered(requests)

    def unknown(self, requests: Requests) -> str:
        if math.isnan(self.deadline):
            return "the deadline is not known"
        n = len(rows(requests))
        return f"{n} requests are too few for a rate" if math.isnan(self.rate(requests)) else ""

    def note(self, requests: Requests) -> str:
        return note_at(requests, self.deadline)


P50, P95, P99 = Quantile(0.50), Quantile(0.95), Quantile(0.99)
ERRORS = ErrorShare()
MEAN = Mean()
THROUGHPUT = Throughput()


def quantile(requests: Requests, q: float) -> Interval:
    """Latency quantile in seconds: `quantile(recording, 0.99)`.

    Unknown (nan, with the reason in `note`) from fewer correct answers than `requests_needed(q)`.
    """
    return Quantile(q)(requests)


def goodput(requests: Requests, deadline: float) -> Interval:
    """Correct answers inside `deadline` seconds, per second."""
    return Goodput(deadline)(requests)


def throughput(requests: Requests) -> Interval:
    """Correct answers per second while requests were being sent: at overload, the capacity."""
    return THROUGHPUT(requests)


def error_share(requests: Requests) -> Interval:
    """Share of requests without a correct answer."""
    return ERRORS(requests)


def offered(requests: Requests) -> float:
    """Requests intended per second; nan where they are too few to tell."""
    sent = seconds = 0.0
    for part in _parts(rows(requests)).values():
        if (lasting := _lasting(part)) > 0:
            # n requests make n - 1 gaps.
            sent += len(part) - 1
            seconds += lasting
    return sent / seconds if seconds else math.nan


def requests_needed(q: float) -> int:
    """The least number of requests for the `q` quantile: ten on its thinner side, 10 / (1 - q).

    Ten successes and ten failures are the usual least for an interval of a proportion (Moore,
    McCabe and Craig, "Introduction to the Practice of Statistics", section 8.1), and a quantile's
    interval is that of the proportion below it (Conover, "Practical Nonparametric Statistics",
    section 3.2). Independent requests would allow ln(0.025) / ln(q), 3.7 on that side; requests
    that wait in one queue are not independent.
    """
    # Rounded first: 1 - 0.99 is a little more than 0.01.
    return math.ceil(round(10 / min(q, 1 - q), 6))


def ratio(a: Requests, b: Requests, statistic: Statistic) -> Interval:
    """`statistic` of `a` over that of `b`, measured alternately: `ratio(slow, fast, P50)`.

    Both are taken round by round, or lose the same stretches (see `leaving_out`), so that what
    disturbed both at the same time cancels. Unknown where one of the two may be zero.
    """
    return _compared(a, b, statistic, "ratio")


def difference(a: Requests, b: Requests, statistic: Statistic) -> Interval:
    """`statistic` of `a` less that of `b`, in the statistic's unit; paired as in `ratio`."""
    return _compared(a, b, statistic, "difference")


def rows(requests: Requests) -> pd.DataFrame:
    """The requests that count, without warm-up, in the order they were meant to start."""
    table = requests if isinstance(requests, pd.DataFrame) else requests.table
    if "warmup" in table.columns:
        table = table[~table["warmup"].astype(bool)]
    return table.sort_values("intended", kind="stable")


def note(requests: Requests, bears: float = BEARS) -> str:
    """Why the traffic was not what was asked for, and what disturbed it, or nothing.

    What is asked of the requests `bears` that something else has taken a share of their time.
    """
    if isinstance(requests, pd.DataFrame):
        return ""
    return " ".join(filter(None, (requests.note, requests.disturbed(bears))))


def noted(found: Interval, *requests: Requests) -> Interval:
    """What was found, with what speaks against the requests that it was counted in."""
    told = dict.fromkeys(filter(None, (found.note, *map(note, requests))))
    return replace(found, note="; ".join(told))


def note_at(requests: Requests, deadline: float) -> str:
    """`note`, where only the `deadline` (seconds) is asked after.

    A generator that was late notes what would matter to a quantile of its latencies; to a share of
    answers inside a deadline a tenth of that deadline matters.
    """
    return _unless_late(requests, lambda late: float(late.quantile(0.99)) <= _LATE_SHARE * deadline)


def _unless_late(
    requests: Requests, bearable: Callable[["pd.Series[float]"], bool], bears: float = BEARS
) -> str:
    """`note`, but nothing where it is about lateness (seconds a request) that is bearable here."""
    if getattr(requests, "late", False) and not getattr(requests, "interrupted", False):
        table = rows(requests)
        if bearable(table["started"] - table["intended"]):
            return "" if isinstance(requests, pd.DataFrame) else requests.disturbed(bears)
    return note(requests, bears)


def _parts(table: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    if ROUND not in table.columns:
        return {"": table} if len(table) else {}
    return dict(iter(table.groupby(ROUND, sort=True)))


def _by_round(table: pd.DataFrame, column: str) -> dict[Any, Series]:
    return {key: part[column].to_numpy(dtype=float) for key, part in _parts(table).items()}


def _latencies(requests: Requests) -> dict[Any, Series]:
    answered = rows(requests)
    return _by_round(answered[answered["ok"].astype(bool)], "latency")


def _left_out(statistic: Statistic, requests: Requests, n: int, told: str) -> Interval:
    """The statistic of a recording with the interval that leaving out parts of it gives."""
    value, low, high = _over_rounds(statistic, requests)
    return Interval(value, max(0.0, low), high, n, statistic.unit, told)


def _with_rounds(
    found: Interval, statistic: Statistic, requests: Requests, most: float = math.inf
) -> Interval:
    """What was found, at least as wide as its rounds lie apart; it lies between 0 and `most`."""
    series = statistic.rounds(requests).values()
    if len(series) < 2 or not all(map(len, series)):
        return found
    _, low, high = _over_rounds(statistic, requests)
    return replace(found, low=max(0.0, min(found.low, low)), high=min(most, max(found.high, high)))


def _over_rounds(statistic: Statistic, requests: Requests) -> tuple[float, float, float]:
    series = list(statistic.rounds(requests).values())
    return leaving_out.interval([series], lambda one: statistic.of(one[0]), _enough(statistic))


def _lasting(part: pd.DataFrame) -> float:
    """Seconds from the first request to the last; nan without a request."""
    return float(part["intended"].max() - part["intended"].min())


def _with(reason: str, requests: Requests) -> str:
    """The reason, and what the recording itself says, which may be the cause."""
    told = note(requests)
    return f"{reason}; {told}" if told else reason


def _enough(statistic: Statistic) -> int:
    """How many requests it needs."""
    return requests_needed(statistic.q) if isinstance(statistic, Quantile) else 2


def _too_few(statistic: Statistic, n: int) -> str:
    needed = _enough(statistic)
    return f"{n} requests, {statistic.label} needs {needed}" if n < needed else ""


def _compared(a: Requests, b: Requests, statistic: Statistic, how: str) -> Interval:
    unit = "ratio" if how == "ratio" else statistic.unit
    notes = "; ".join(
        dict.fromkeys(text for text in (note(a, statistic.bears), note(b, statistic.bears)) if text)
    )
    if isinstance(statistic, Share):
        return _shares_compared(a, b, statistic, how)
    first, second = statistic.rounds(a), statistic.rounds(b)
    common = [key for key in first if key in second]
    sources = [[first[key] for key in common], [second[key] for key in common]]
    joined = [np.concatenate([*source, np.empty(0)]) for source in sources]
    for part in joined:
        if reason := _too_few(statistic, len(part)):
            if first and second and not common:
                reason = "they have no round in common"
            return Interval.unknown("; ".join(filter(None, (reason, notes))), unit, len(part))

    n = min(len(part) for part in joined)
    value, low, high = _over_pairs(sources, statistic.of, statistic.of, how, _enough(statistic))
    if math.isnan(value):
        return Interval.unknown(_ZERO, unit, n)
    # What is open for one of the two alone is open for both.
    if math.isinf(statistic(a).high):
        high = math.inf
    if math.isinf(statistic(b).high):
        low = 0.0 if how == "ratio" else -math.inf
    return Interval(value, low, high, n, unit, notes)


def _shares_compared(a: Requests, b: Requests, statistic: Share, how: str) -> Interval:
    """Two shares by their own intervals, which hold where one of them is 0 or 1, too.

    These leave out that requests are paired. Five rounds or more tell how much that matters.
    """
    one, other = statistic(a), statistic(b)
    found = one.over(other) if how == "ratio" else one.minus(other)
    first, second = statistic.rounds(a), statistic.rounds(b)
    common = [key for key in first if key in second]
    if not found.known or len(common) < leaving_out.ROUNDS:
        return found
    by, by_other = statistic.rate(a), statistic.rate(b)
    _, low, high = _over_pairs(
        [[first[key] for key in common], [second[key] for key in common]],
        lambda series: by * statistic.of(series),
        lambda series: by_other * statistic.of(series),
        how,
        1,
    )
    # Where no round differs from another, or one has none, their spread tells nothing.
    return replace(found, low=low, high=high) if low < high else found


def _over_pairs(
    sources: Sequence[Sequence[Series]],
    of: Callable[[Series], float],
    of_other: Callable[[Series], float],
    how: str,
    enough: int,
) -> tuple[float, float, float]:
    """The ratio or difference of two sources and the ends of its interval, by leaving out."""

    def combined(pair: Sequence[Series]) -> float:
        one, other = of(pair[0]), of_other(pair[1])
        if how == "difference":
            return one - other
        # On a scale on which 2 and 1 / 2 are equally far from 1.
        return math.log(one / other) if one > 0 and other > 0 else math.nan

    value, low, high = leaving_out.interval(sources, combined, enough)
    if how == "difference":
        return value, low, high
    return math.exp(value), math.exp(low), math.exp(high)


def _together(a: Interval, b: Interval) -> str:
    return "; ".join(dict.fromkeys(text for text in (a.note, b.note) if text))


def _highest_ratio(a: float, end: float, by: Interval) -> float:
    """The upper end of a / by, by MOVER from the upper `end` of `a`."""
    b = by.value
    if end >= 0:
        span = by.low * (2 * b - by.low)
        # Of two that are known exactly the root is none, but for what floating point leaves.
        root = (a * b) ** 2 + end * (end - 2 * a) * span
        return (a * b + math.sqrt(max(root, 0.0))) / span
    if math.isinf(by.high):
        return 0.0
    # The same with the other end of `by`, without a difference of what may be nearly equal.
    inside = end * (2 * a - end)
    root = (a * b) ** 2 - inside * by.high * (2 * b - by.high)
    return inside / (a * b - math.sqrt(max(root, 0.0)))


def share_ends(share: float, n: float) -> tuple[float, float]:
    """The exact binomial interval (Clopper and Pearson, Biometrika 26, 1934) of a share of `n`.

    `n` is an effective number of requests and need not be whole, as in surveys of dependent
    answers (Korn and Graubard, Survey Methodology 24, 1998).
    """
    hits, misses = share * n, (1 - share) * n
    # The quantile of the beta distribution, without all of scipy.stats: a second of each kernel.
    quantile_of_beta = scipy.special.betaincinv
    tail = (1 - CONFIDENCE) / 2
    low = float(quantile_of_beta(hits, misses + 1, tail)) if hits > 0 else 0.0
    high = float(quantile_of_beta(hits + 1, misses, 1 - tail)) if misses > 0 else 1.0
    return low, high
