"""Shares of independent trials and their difference, for counts that are no recording.

Users of an experiment are independent of one another, which requests in one queue are not: for
those see `stats`.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lab_services.report.bootstrap import design_effect
from lab_services.report.stats import Interval, share_ends

_NONE = "there was no trial"


def proportion(hits: int, of: int) -> Interval:
    """The share `hits / of` with its exact 95 % interval (Clopper and Pearson), by statsmodels.

    Unknown of no trial. Raises ValueError unless 0 <= hits <= of.
    """
    from statsmodels.stats.proportion import proportion_confint

    _check(hits, of)
    if not of:
        return Interval.unknown(_NONE, "share")
    low, high = proportion_confint(hits, of, method="beta")
    return Interval(hits / of, float(low), float(high), of, "share")


def share(hits: npt.ArrayLike, *, dependent: bool = False) -> Interval:
    """The share of the true ones, as `proportion` has it.

    Where they are `dependent`, as those of neighbours in one queue, given in the order of time,
    they count for as many as their dependence leaves (`bootstrap.design_effect`).

    >>> share([True, False, True, True])
    75.0 % (19.4 to 99.4 %)
    """
    found = np.asarray(hits)
    if found.dtype.kind == "f" and np.isnan(found).any():
        return Interval.unknown("not every value is known", "share", len(found))
    found = found.astype(bool)
    plain = proportion(int(found.sum()), len(found))
    if not (dependent and plain.known):
        return plain
    low, high = share_ends(plain.value, len(found) / design_effect(found.astype(float)))
    return replace(plain, low=low, high=high)


def proportions_differ(hits: int, of: int, hits_before: int, of_before: int) -> Interval:
    """The first share less the second with Newcombe's 95 % interval, by statsmodels.

    Newcombe, Statistics in Medicine 17, 1998, method 10. Unknown where one of them is of no trial.
    Raises ValueError as `proportion` does.
    """
    from statsmodels.stats.proportion import confint_proportions_2indep

    _check(hits, of)
    _check(hits_before, of_before)
    if not (of and of_before):
        return Interval.unknown(_NONE, "share")
    low, high = confint_proportions_2indep(
        hits, of, hits_before, of_before, compare="diff", method="newcomb"
    )
    value = hits / of - hits_before / of_before
    return Interval(value, float(low), float(high), min(of, of_before), "share")


def _check(hits: int, of: int) -> None:
    if not 0 <= hits <= of:
        raise ValueError(f"{hits} of {of} is no share.")
