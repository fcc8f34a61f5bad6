"""How well a model tells late flights from punctual ones, and what is lost with a worse one."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy

from lab_services.report.resampling import resampled
from lab_services.report.stats import Interval

_ONE_KIND = "both late and punctual flights are needed"
Late = npt.NDArray[np.bool_]
Said = npt.NDArray[np.float64]


def auc(late: Late, said: Said) -> float:
    """Chance that a late flight was given more than a punctual one (Mann and Whitney 1947).

    Ties count half. nan where it is not known: all flights are of one kind, or a chance is nan.

    >>> auc(np.array([True, False, False]), np.array([0.6, 0.1, 0.6]))
    0.75
    """
    late = np.asarray(late, dtype=bool)
    lates, others = int(late.sum()), int((~late).sum())
    if not (lates and others):
        return math.nan
    ranks = scipy.stats.rankdata(said)
    return float((ranks[late].sum() - lates * (lates + 1) / 2) / (lates * others))


def auc_interval(late: Late, said: Said) -> Interval:
    """The AUC with its 95 % interval by Hanley and McNeil, Radiology 143, 1982.

    Unknown where `auc` is nan.
    """
    value, lates, others = auc(late, said), int(late.sum()), int((~late).sum())
    if math.isnan(value):
        return _not_known(late)
    both_lates, both_others = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (lates - 1) * (both_lates - value**2)
    variance += (others - 1) * (both_others - value**2)
    # A perfect order has none, but for what floating point adds.
    half = 1.96 * (max(variance, 0.0) / (lates * others)) ** 0.5
    return Interval(value, max(0.0, value - half), min(1.0, value + half), len(late))


def auc_difference(late: Late, model: Said, served: Said, draws: int = 200) -> Interval:
    """AUC of `model` less that of what was `served` to the same flights; 95 % by bootstrap.

    Unknown where one of the two is nan.
    """
    value = auc(late, model) - auc(late, served)
    if math.isnan(value):
        return _not_known(late)

    def lost(series: Sequence[Said]) -> float:
        here = series[0].astype(bool)
        return auc(here, series[1]) - auc(here, series[2])

    return resampled(lost, late, model, served, draws=draws)


def _not_known(late: Late) -> Interval:
    reason = "a chance is not known" if 0 < late.sum() < len(late) else _ONE_KIND
    return Interval.unknown(reason, n=len(late))
