"""What recordings say: statistics, queueing theory, charts, claims, kept numbers.

>>> from lab_services import report
>>> report.P99(recording)
12.3 ms (11.8 to 13.1 ms)
>>> report.ratio(slow, fast, report.P50)
3.4× (3.1 to 3.8×)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_services.limits import usable_cores as usable_cores
    from lab_services.report import charts as charts
    from lab_services.report.caching import hit_rate as hit_rate
    from lab_services.report.charts.timeline import Change as Change
    from lab_services.report.claims import Claims as Claims
    from lab_services.report.concurrency import in_flight as in_flight
    from lab_services.report.concurrency import most_in_flight as most_in_flight
    from lab_services.report.counts import quotient as quotient
    from lab_services.report.exercise import Exercise as Exercise
    from lab_services.report.fallbacks import FALLBACK as FALLBACK
    from lab_services.report.fallbacks import Answered as Answered
    from lab_services.report.fallbacks import by_anyone as by_anyone
    from lab_services.report.fallbacks import by_fallback as by_fallback
    from lab_services.report.fallbacks import by_model as by_model
    from lab_services.report.fit import Line as Line
    from lab_services.report.footprint import install_size as install_size
    from lab_services.report.measurements import keep as keep
    from lab_services.report.measurements import keep_file as keep_file
    from lab_services.report.proportions import proportion as proportion
    from lab_services.report.proportions import proportions_differ as proportions_differ
    from lab_services.report.proportions import share as share
    from lab_services.report.queueing import Fluid as Fluid
    from lab_services.report.queueing import Queue as Queue
    from lab_services.report.queueing import lindley as lindley
    from lab_services.report.ranking import auc as auc
    from lab_services.report.ranking import auc_difference as auc_difference
    from lab_services.report.ranking import auc_interval as auc_interval
    from lab_services.report.resampling import resampled as resampled
    from lab_services.report.rounds import paired_ratio as paired_ratio
    from lab_services.report.rounds import t_interval as t_interval
    from lab_services.report.stats import ERRORS as ERRORS
    from lab_services.report.stats import MEAN as MEAN
    from lab_services.report.stats import P50 as P50
    from lab_services.report.stats import P95 as P95
    from lab_services.report.stats import P99 as P99
    from lab_services.report.stats import THROUGHPUT as THROUGHPUT
    from lab_services.report.stats import Goodput as Goodput
    from lab_services.report.stats import Interval as Interval
    from lab_services.report.stats import Mean as Mean
    from lab_services.report.stats import Quantile as Quantile
    from lab_services.report.stats import difference as difference
    from lab_services.report.stats import error_share as error_share
    from lab_services.report.stats import goodput as goodput
    from lab_services.report.stats import offered as offered
    from lab_services.report.stats import quantile as quantile
    from lab_services.report.stats import ratio as ratio
    from lab_services.report.stats import requests_needed as requests_needed
    from lab_services.report.stats import throughput as throughput
    from lab_services.report.table import summary as summary
    from lab_services.report.windows import window as window

_HOMES = {
    "fallbacks": ("FALLBACK", "Answered", "by_anyone", "by_fallback", "by_model"),
    "claims": ("Claims",),
    "caching": ("hit_rate",),
    "concurrency": ("in_flight", "most_in_flight"),
    "counts": ("quotient",),
    "exercise": ("Exercise",),
    "fit": ("Line",),
    "footprint": ("install_size",),
    "measurements": ("keep_file", "keep"),
    "windows": ("window",),
    "proportions": ("proportion", "proportions_differ", "share"),
    "queueing": ("Fluid", "Queue", "lindley"),
    "ranking": ("auc", "auc_interval", "auc_difference"),
    "resampling": ("resampled",),
    "rounds": ("t_interval", "paired_ratio"),
    "stats": (
        *("ERRORS", "MEAN", "P50", "P95", "P99", "THROUGHPUT"),
        *("Goodput", "Interval", "Mean", "Quantile"),
        *("difference", "error_share", "goodput", "offered", "quantile", "ratio"),
        *("requests_needed", "throughput"),
    ),
    "table": ("summary",),
    "charts.timeline": ("Change",),
}
_MODULES = ("charts",)
_OF_THIS_MACHINE = ("usable_cores",)
__all__ = sorted(
    [*_MODULES, *_OF_THIS_MACHINE, *(name for names in _HOMES.values() for name in names)]
)


def __getattr__(name: str) -> object:
    # Late: what only draws the book or reads a run's file needs neither SciPy nor matplotlib.
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _OF_THIS_MACHINE:
        return getattr(import_module("lab_services.limits"), name)
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
