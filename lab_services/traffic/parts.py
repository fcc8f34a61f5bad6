"""Schedules of named parts: when each begins and ends, and into which of them an arrival falls."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np

from lab_services.traffic.schedules import Schedule

Part = tuple[str, float]
"""What it is called, and how many seconds it takes."""


def spans(parts: Sequence[Part]) -> dict[str, tuple[float, float]]:
    """When each part that has a name begins and ends, in seconds after the beginning of the first.

    Of parts with the same name it is the last one.

    >>> traffic.spans([("calm", 2), ("", 1), ("burst", 2)])
    {'calm': (0.0, 2.0), 'burst': (3.0, 5.0)}
    """
    ends = _ends(parts)
    return {
        name: (begin, end)
        for (name, _), begin, end in zip(parts, [0.0, *ends], ends, strict=False)
        if name
    }


def places(parts: Iterable[Part], arrivals: Schedule) -> list[int]:
    """For each arrival the place in `parts` of the one that it falls into.

    A part begins at its first moment; what comes after the end of all is in the last one.

    >>> traffic.places([("calm", 2), ("burst", 1)], traffic.constant(1, 3))
    [0, 0, 1]
    """
    ends = _ends(parts)
    found: list[int] = np.searchsorted(ends[:-1], arrivals.offsets, side="right").tolist()
    return found


def _ends(parts: Iterable[Part]) -> list[float]:
    return list(accumulate(float(seconds) for _, seconds in parts))
