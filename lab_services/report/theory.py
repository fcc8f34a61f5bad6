"""Theory beside what was measured: how far apart they lie, and formulas of estimates."""

import math
from collections.abc import Callable, Iterable

from lab_services.report.stats import Interval


def furthest(found: Iterable[Interval], expected: Iterable[float]) -> Interval:
    """How far the one that is furthest from what theory expects of it is from that, in its unit.

    The upper end is the largest distance that one of the intervals allows. The lower end is the
    largest that one of them demands; of many values some demand one by chance, so it is no 95 %
    bound, and `at_most` is what this is for. Unknown where one of them is, or what is expected of
    it, and without any. Raises ValueError unless there are as many expectations.

    >>> at = [Interval(0.5, 0.4, 0.6, 90, "share"), Interval(0.2, 0.18, 0.22, 90, "share")]
    >>> furthest(at, [0.55, 0.3])
    10.0 % (8.0 to 15.0 %)
    """
    values = list(found)
    pairs = list(zip(values, expected, strict=True))
    if not values:
        return Interval.unknown("nothing to compare with theory")
    for each, theory in pairs:
        if not each.known:
            return Interval.unknown(each.note, each.unit, each.n)
        if not math.isfinite(theory):
            return Interval.unknown("theory gives no number", each.unit, each.n)
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
    try:
        found = [formula(each) for each in (given.value, given.low, given.high)]
    except (ArithmeticError, ValueError):  # 1 / 0, the logarithm of less
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        return Interval.unknown("the formula gives no number", unit, given.n)
    return Interval(found[0], min(found), max(found), given.n, unit, given.note)
