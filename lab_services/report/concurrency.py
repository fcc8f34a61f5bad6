"""How many requests are inside a service at a moment, waiting or served, counted from a recording.

It does not depend on the order in which a service works: one with hundreds of connections open does
not always begin with the oldest request.
"""

import numpy as np
import numpy.typing as npt

from lab_services.report.stats import Requests, rows

Counts = npt.NDArray[np.intp]


def in_flight(requests: Requests, at: npt.ArrayLike) -> Counts:
    """How many requests were sent and not answered at these moments (Unix s)."""
    table = rows(requests)
    return open_at(table["intended"], table["intended"] + table["latency"], at)


def most_in_flight(requests: Requests) -> int | None:
    """How many requests waited for their answers at the worst moment; None without a request."""
    moments = rows(requests)["intended"]
    return int(in_flight(requests, moments).max()) if len(moments) else None


def open_at(begins: npt.ArrayLike, ends: npt.ArrayLike, at: npt.ArrayLike) -> Counts:
    """How many of what begins and ends at these moments was open `at` others."""
    begun = np.searchsorted(np.sort(np.asarray(begins, dtype=float)), at, side="right")
    ended = np.searchsorted(np.sort(np.asarray(ends, dtype=float)), at, side="right")
    return np.asarray(begun - ended)
