"""A cost that is so much in all, and so much for each: a line through what was measured."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Line(NamedTuple):
    """`fixed` + n times `each`.

    >>> Line(fixed=0.5, each=0.1)(20)
    2.5
    """

    fixed: float
    each: float

    def __call__(self, n: float) -> float:
        """What so many cost."""
        return self.fixed + self.each * n

    @classmethod
    def through(cls, points: Mapping[Any, float], *, rising: bool = False) -> "Line":
        """The line of least squares through points by their n; through two of them exactly.

        Where it is known to be `rising`, noise in which it falls makes it level, at the points'
        mean. Raises ValueError for fewer than two points.
        """
        if len(points) < 2:
            raise ValueError(f"A line needs two points, not {len(points)}.")
        n, cost = (np.array(values, dtype=float) for values in (list(points), [*points.values()]))
        centred = n - n.mean()
        each = float(centred @ cost / (centred @ centred))
        if rising:
            each = max(each, 0.0)  # in this order: what is not known stays so
        return cls(float(cost.mean() - each * n.mean()), each)
