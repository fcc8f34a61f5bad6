"""How near to theory lies what was measured, replayed or counted."""

from collections.abc import Iterable

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
