"""Quotients of numbers that have no interval, such as counts."""

import math

from lab_services.report.stats import Interval


def quotient(
    a: Interval | float | None, b: Interval | float | None, unit: str = "ratio"
) -> Interval:
    """`a` over `b`, taken as exact; unknown with the reason where one is, or where `b` is 0.

    An interval counts by its value alone.

    >>> quotient(3, 4, "share")
    75.0 %
    >>> quotient(3, 0)
    not known (there is nothing to divide by)
    """
    over, by = (each if isinstance(each, Interval) else Interval.exact(each) for each in (a, b))
    for each in (over, by):
        if not each.known:
            return Interval.unknown(each.note, unit)
    if by.value == 0:
        return Interval.unknown("there is nothing to divide by", unit)
    return Interval.exact(over.value / by.value, unit)
