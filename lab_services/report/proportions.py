"""Shares of independent trials and their difference, for counts that are no recording.

Users of an experiment are independent of one another, which requests in one queue are not: for
those see `stats`.
"""

from lab_services.report.stats import Interval


def proportion(hits: int, of: int) -> Interval:
    """The share `hits / of` with its exact 95 % interval (Clopper and Pearson), by statsmodels.

    Raises ValueError unless 0 <= hits <= of and of > 0.
    """
    from statsmodels.stats.proportion import proportion_confint

    _check(hits, of)
    low, high = proportion_confint(hits, of, method="beta")
    return Interval(hits / of, float(low), float(high), of, "share")


def proportions_differ(hits: int, of: int, hits_before: int, of_before: int) -> Interval:
    """The first share less the second with Newcombe's 95 % interval, by statsmodels.

    Newcombe, Statistics in Medicine 17, 1998, method 10. Raises ValueError as `proportion` does.
    """
    from statsmodels.stats.proportion import confint_proportions_2indep

    _check(hits, of)
    _check(hits_before, of_before)
    low, high = confint_proportions_2indep(
        hits, of, hits_before, of_before, compare="diff", method="newcomb"
    )
    value = hits / of - hits_before / of_before
    return Interval(value, float(low), float(high), min(of, of_before), "share")


def _check(hits: int, of: int) -> None:
    if not 0 <= hits <= of or of == 0:
        raise ValueError(f"{hits} of {of} is no share.")
