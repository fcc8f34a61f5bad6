"""A number with its bootstrap interval: series in, `Interval` out.

For numbers that no `Statistic` of a recording gives: quotients of medians, losses by day, costs of
steps. The drawing itself, and why blocks are drawn, is in `bootstrap`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from lab_services.report import bootstrap
from lab_services.report.bootstrap import Series
from lab_services.report.stats import Interval


def resampled(
    statistic: Callable[[Sequence[Series]], float],
    *series: npt.NDArray[Any],
    unit: str = "",
    block: int = 1,
    paired: bool = True,
    draws: int = bootstrap.REPLICATES,
) -> Interval:
    """`statistic` of the series with its 95 % percentile interval, drawn so many times.

    `statistic` gets all of them in a list. Blocks of `block` values are drawn: 1 where values know
    nothing of one another. Paired series are of one length and are drawn at the same places, so
    that what they have in common cancels; otherwise each is drawn by itself. The interval holds its
    value. Unknown of fewer than two blocks, and where one sample in forty has no such number.
    Raises ValueError for paired series of several lengths.

    >>> resampled(lambda s: s[0].mean() / s[1].mean(), slow, fast, unit="ratio") # doctest: +SKIP
    """
    lengths = {len(each) for each in series}
    if paired and len(lengths) > 1:
        raise ValueError(f"Pairs need series of one length, not of {sorted(lengths)}.")
    n = min(lengths)
    if n < 2 * block:
        few = f"{n} values are too few to resample: {2 * block} are needed"
        return Interval.unknown(few, unit, n)
    value = float(statistic(series))
    sources = [[each] for each in series]
    low, high = bootstrap.ends(
        sources, [block] * len(series), statistic, replicates=draws, paired=paired
    )
    if math.isnan(value) or math.isnan(low):
        return Interval.unknown("it cannot be computed of every sample", unit, n)
    return Interval(value, min(low, value), max(high, value), n, unit)
