"""How far a window of predictions is from a reference, feature by feature.

The monitor counts with it while the service runs, the lab on months of flights at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 10
Counts = NDArray[np.float64]


class Reference:
    """What is usual: for each column its bins, and how the reference falls into them.

    Numbers are cut at the reference's tenths, texts into the most frequent values and the rest.

    >>> usual = Reference({"wind": [5.0, 8.0, 12.0, 20.0], "origin": ["JFK", "EWR", "JFK", "LGA"]})
    >>> psi(usual.counts["origin"], usual.count("origin", ["LGA", "LGA", "LGA"])) > 0.25
    True
    """

    def __init__(self, columns: Mapping[str, ArrayLike], bins: int = BINS) -> None:
        self._edges: dict[str, NDArray[Any]] = {}
        self.counts: dict[str, Counts] = {}
        for name, values in columns.items():
            self._edges[name] = _edges(np.asarray(values), bins)
            self.counts[name] = self.count(name, values)

    def bins(self, name: str) -> int:
        """How many bins a column has."""
        return len(self._edges[name]) + 1

    def places(self, name: str, values: ArrayLike) -> NDArray[np.intp]:
        """The bin of each value of a column."""
        edges, given = self._edges[name], np.asarray(values)
        if edges.dtype.kind != "U":
            return np.searchsorted(edges, given, side="left")
        at = np.minimum(np.searchsorted(edges, given), len(edges) - 1)
        return np.where(edges[at] == given, at, len(edges))

    def count(self, name: str, values: ArrayLike) -> Counts:
        """How many values fall into each bin of a column."""
        return np.bincount(self.places(name, values), minlength=self.bins(name)).astype(float)


def _edges(values: NDArray[Any], bins: int) -> NDArray[Any]:
    if values.dtype.kind == "U":
        names, often = np.unique(values, return_counts=True)
        return np.sort(names[np.argsort(-often, kind="stable")[: bins - 1]])
    below: NDArray[Any] = values[values < values.max()]
    if not len(below):
        return below  # one value only, and so one bin
    # A value that nothing lies above is no cut: the bin beyond it would be empty for ever.
    cuts = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="lower"))
    inside: NDArray[Any] = cuts[cuts < values.max()]
    return inside if len(inside) else np.array([below.max()])


def psi(reference: Counts, window: Counts) -> Any:
    """The population stability index of counts, along the last axis.

    The sum over bins of (share in the window - share in the reference) x the logarithm of their
    ratio (N. Siddiqi, Credit Risk Scorecards, 2006). Half a prediction is added to every bin, so
    that an empty one has a logarithm.
    """
    expected = _shares(reference)
    found = _shares(window)
    return ((found - expected) * np.log(found / expected)).sum(axis=-1)


def _shares(counts: Counts) -> Counts:
    smoothed = counts + 0.5
    shares: Counts = smoothed / smoothed.sum(axis=-1, keepdims=True)
    return shares


def repeated_share(inputs: Sequence[Any]) -> float:
    """The share of inputs that are a copy of another one in the same window."""
    return 1 - len(set(inputs)) / len(inputs) if inputs else 0.0
