"""Schedules of named parts: no traffic is sent here."""

import numpy as np

from lab_services import traffic


def test_parts_follow_each_other():
    """A part that is looked for while the one before it lasts; a rest that is taken for a part."""
    parts = [("calm", 2), ("", 0.5), ("burst", 1), ("after", 2.5)]
    assert traffic.spans(parts) == {"calm": (0, 2), "burst": (2.5, 3.5), "after": (3.5, 6)}
    assert traffic.spans([]) == {}


def test_each_arrival_falls_into_one_part():
    """An arrival at a border that is of the part before, or of two, or of none."""
    parts = [("a", 1.0), ("b", 1.0), ("a", 1.0)]
    arrivals = traffic.Schedule(np.array([0.0, 0.9, 1.0, 1.999, 2.0, 3.0]), 3.0, "by hand")
    assert traffic.places(parts, arrivals) == [0, 0, 1, 1, 2, 2]
    drawn = traffic.poisson(200, 3, seed=1)
    counted = np.bincount(traffic.places(parts, drawn), minlength=3)
    between = np.histogram(drawn.offsets, [0, 1, 2, 3])[0]
    assert counted.tolist() == between.tolist() and counted.sum() == len(drawn)


def test_without_arrivals_there_is_no_place():
    """A traceback where nothing is sent."""
    assert traffic.places([("a", 1.0)], traffic.Schedule(np.empty(0), 1.0, "none")) == []
