"""Theory beside what was measured: how far apart they lie, and formulas of estimates."""

import math
from collections.abc import Callable, Iterable

from lab_services.report.stats import Interval


def furthest(found: Iterable[Interval], expected: Iterable[float]) -> Interval:
    """How far the one that is furthest from what theory expects of it is from that, in its unit.

    The lower end is the largest distance that no interval allows to be less, the upper end the
    largest that one allows. Unknown where one of them is, and without any. Raises ValueError unless
    there are as many expectations.

    >>> at = [Interval(0.5, 0.4, 0.6, 90, "share"), Interval(0.2, 0.18, 0.22, 90, "share")]
    >>> furthest(at, [0.55, 0.3])
    10.0 % (8.0 to 15.0 %)
    """
    values = list(found)
    pairs = list(zip(values, expected, strict=True))
    if not values:
        return Interval.unknown("nothing to compare with theory")
    for each in values:
        if not each.known:
            return Interval.unknown(each.note, each.unit, each.n)
    least = max(max(0.0, each.low - theory, theory - each.high) for each, theory in pairs)
    most = max(max(each.high - theory, theory - each.low) for each, theory in pairs)
    value = max(abs(each.value - theory) for each, theory in pairs)
    notes = "; ".join(dict.fromkeys(each.note for each in values if each.note))
    return Interval(value, least, most, min(each.n for each in values), values[0].unit, notes)


def through(formula: Callable[[float], float], given: Interval, unit: str) -> Interval:
    """What a formula without a turning point makes of an estimate and of its interval's ends.

    Unknown where the estimate is, and where the formula gives no number for it or for an end.

    >>> through(lambda seconds: 1 / seconds, Interval(2.0, 1.0, 4.0, 9, "s"), "requests/s")
    0.50 requests/s (0.25 to 1.00 requests/s)
    """
    if not given.known:
        return Interval.unknown(given.note, unit, given.n)
    value, *ends = (formula(each) for each in (given.value, given.low, given.high))
    if not all(map(math.isfinite, (value, *ends))):
        return Interval.unknown("the formula gives no number", unit, given.n)
    return Interval(value, min(ends), max(ends), given.n, unit, given.note)
