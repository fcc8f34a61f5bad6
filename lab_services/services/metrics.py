"""Histograms for a service that runs in one event loop.

prometheus-client's own take a lock for each count, which costs as much as reading a request.
These keep plain numbers and hand them to prometheus-client when it asks.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Series:
    """One line of a histogram: how many values fell under each bound, and their sum.

    `observe` notes a value down, which costs a tenth of counting it; `tally` counts what was noted.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self.total = 0.0
        self._noted: list[float] = []
        self.observe = self._noted.append

    def tally(self) -> None:
        if self._noted:
            under = np.searchsorted(self.bounds, self._noted)
            self.counts += np.bincount(under, minlength=len(self.counts))
            self.total += sum(self._noted)
            self._noted.clear()


class Histogram(Collector):
    """A Prometheus histogram whose series are told apart by `labels`.

    `bounds` rise; a value that equals a bound counts below it, as Prometheus defines `le`.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        name: str,
        documentation: str,
        bounds: Sequence[float],
        labels: Sequence[str] = (),
    ) -> None:
        self._name, self._documentation = name, documentation
        self._bounds, self._labels = tuple(bounds), tuple(labels)
        self._series: dict[tuple[str, ...], Series] = {}
        registry.register(self)

    def series(self, *values: str) -> Series:
        """The series with these values of the labels. Raises ValueError for too many or few."""
        if len(values) != len(self._labels):
            raise ValueError(f"{self._name} has labels {self._labels}, not values {values}")
        return self._series.setdefault(values, Series(self._bounds))

    def tally(self) -> None:
        """Count what was noted. To be called often enough for that not to pile up."""
        for series in self._series.values():
            series.tally()

    def collect(self) -> Iterator[HistogramMetricFamily]:
        self.tally()
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        for values, series in self._series.items():
            buckets = list(zip(bounds, accumulate(series.counts.tolist()), strict=True))
            family.add_metric(values, buckets, sum_value=series.total)
        yield family
