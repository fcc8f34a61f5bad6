"""What was measured a few times, in turns with what it is compared with: means and ratios.

For measurements that are no recording, such as how long a job takes. A handful of rounds is too
few to draw from, so the interval is Student's; of many values it is as wide as a bootstrap's.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import scipy

from lab_services.report import bootstrap
from lab_services.report.bootstrap import CONFIDENCE
from lab_services.report.stats import Interval

_NOT_ABOVE = "a value is not above 0"


def t_interval(
    values: Iterable[float],
    unit: str = "",
    *,
    least: float = -math.inf,
    most: float = math.inf,
    dependent: bool = False,
) -> Interval:
    """The mean of one value a round with Student's 95 % interval.

    The values are independent of one another; where they are `dependent`, as those of neighbours in
    one queue, given in the order of time, they count for as many as their dependence leaves
    (`bootstrap.design_effect`). The interval ends at the `least` and the `most` that is possible.
    One value alone has an open interval and a note that says so. Unknown without a value, or with
    one that is not known.

    >>> t_interval([1.9, 2.0, 2.1], "s")
    2.00 s (1.75 to 2.25 s)
    """
    found = np.fromiter(values, dtype=float)
    if reason := _not_known(found):
        return Interval.unknown(reason, unit, len(found))
    mean = _student(found, unit, bootstrap.design_effect(found) if dependent else 1.0)
    return replace(mean, low=max(least, mean.low), high=min(most, mean.high))


def paired_ratio(a: Sequence[float], b: Sequence[float]) -> Interval:
    """By how many times `a` is above `b`: the geometric mean of the rounds' ratios.

    Values of one place were measured in the same round, so what slowed down a whole round cancels.
    Unknown from fewer than two rounds and where a value is not above 0. Raises ValueError unless
    both have the same number of values.

    >>> paired_ratio([2.0, 2.2, 2.4], [1.0, 1.1, 1.2])
    2.00×
    """
    if len(a) != len(b):
        raise ValueError(f"A ratio needs two values a round, not {len(a)} and {len(b)} in all.")
    if len(a) < 2:
        return Interval.unknown(f"{len(a)} rounds, a ratio needs 2", "ratio", len(a))
    both = np.array([a, b], dtype=float)
    if reason := _not_known(both):
        return Interval.unknown(reason, "ratio", len(a))
    if (both <= 0).any():
        return Interval.unknown(_NOT_ABOVE, "ratio", len(a))
    return geometric_mean(both[0] / both[1], "ratio")


def geometric_mean(values: Iterable[float], unit: str = "") -> Interval:
    """The geometric mean of one value a round, with Student's 95 % interval of the logarithms.

    For times and ratios of which the high ones lie further off than the low ones, as the time in
    which a queue drains: of a few such rounds the interval of `t_interval` holds the true mean too
    seldom. One value alone has an open interval and a note that says so. Unknown without a value,
    with one that is not known, and where one is not above 0.

    >>> geometric_mean([1.0, 2.0, 4.0], "s")
    2.0 s (0.4 to 11.2 s)
    """
    found = np.fromiter(values, dtype=float)
    if reason := _not_known(found):
        return Interval.unknown(reason, unit, len(found))
    if (found <= 0).any():
        return Interval.unknown(_NOT_ABOVE, unit, len(found))
    logs = _student(np.log(found), unit)
    value, low, high = (float(np.exp(end)) for end in (logs.value, logs.low, logs.high))
    return replace(logs, value=value, low=low, high=high)


def _not_known(values: npt.NDArray[np.float64]) -> str:
    if not values.size:
        return "nothing was measured"
    missing = int((~np.isfinite(values)).sum())
    return f"{missing} of {values.size} values not known" if missing else ""


def _student(values: npt.NDArray[np.float64], unit: str, design_effect: float = 1.0) -> Interval:
    n, mean = len(values), float(values.mean())
    if n == 1:
        return Interval(mean, -math.inf, math.inf, 1, unit, "one value has no interval")
    independent = max(2.0, n / design_effect)
    t = float(scipy.special.stdtrit(independent - 1, (1 + CONFIDENCE) / 2))
    half = t * float(values.std(ddof=1)) / independent**0.5
    return Interval(mean, mean - half, mean + half, n, unit)
