"""How far intervals are from theory, and what theory makes of them."""

import math

import pytest

from lab_services import report
from lab_services.report import Interval


def test_the_furthest_counts_with_its_interval() -> None:
    """Distances without their sign; an interval round the theory that has no upper end."""
    near, below = Interval(0.5, 0.4, 0.6, 90, "share"), Interval(0.2, 0.18, 0.21, 70, "share")
    found = report.furthest([near, below], [0.5, 0.3])
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.09, 0.12))
    assert (found.unit, found.n) == ("share", 70)
    alone = report.furthest([near], [0.5])
    assert (alone.value, alone.low, alone.high) == pytest.approx((0, 0, 0.1))


def test_what_is_not_known_may_be_the_furthest() -> None:
    """The furthest of the known ones; expectations of others than were measured."""
    unknown = Interval.unknown("nobody asked", "share")
    assert not report.furthest([Interval.exact(1), unknown], [1, 1]).known
    assert not report.furthest([], []).known
    assert not report.furthest([Interval.exact(1), Interval.exact(1)], [1, math.nan]).known
    noted = report.furthest([Interval(1, 0, 2, 9, note="the generator was late")], [1])
    assert noted.note == "the generator was late"
    with pytest.raises(ValueError):
        report.furthest([Interval.exact(1)], [])


def test_theory_hands_on_the_interval_of_what_it_is_given() -> None:
    """A theory of an estimate that is taken as exact, or ends in the wrong order."""
    given = Interval(2.0, 1.0, 4.0, 9, "s")
    found = report.through(lambda x: 1 / x, given, "share")
    assert (found.value, found.low, found.high, found.n) == (0.5, 0.25, 1.0, 9)
    assert not report.through(lambda x: math.nan, given, "share").known
    assert not report.through(lambda x: 1 / x, Interval(2.0, 0.0, 4.0, 9, "s"), "share").known
    assert not report.through(math.sqrt, Interval(2.0, -1.0, 4.0, 9, "s"), "share").known
    assert not report.through(lambda x: x, Interval.unknown("too few", "s"), "s").known
