"""Quotients of what was counted."""

import math

import pytest

from lab_services.report import Interval, quotient


def test_a_quotient_is_exact():
    """A number that is called an interval, or one in another unit."""
    assert quotient(3, 4, "share") == Interval(0.75, 0.75, 0.75, 1, "share")
    assert quotient(Interval(6.0, 5.0, 7.0, 90, "s"), 3) == Interval(2.0, 2.0, 2.0, 1, "ratio")


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (3, 0, "nothing to divide by"),
        (0, 0.0, "nothing to divide by"),
        (None, 2, "not known"),
        (2, math.nan, "not known"),
        (Interval.unknown("no answer came", "s"), 0, "no answer came"),
        (2, Interval.unknown("no answer came", "s"), "no answer came"),
    ],
)
def test_what_cannot_be_divided_is_unknown(a, b, reason):
    """A traceback for want of an answer, or a number that nobody has measured."""
    found = quotient(a, b, "share")
    assert not found.known
    assert reason in found.note and found.unit == "share"
