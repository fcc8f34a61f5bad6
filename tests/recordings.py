"""Recordings written by hand, for tests of what is read off them."""

import pandas as pd

from lab_services.traffic.recording import Recording

ROWS = [
    (0.0, 0.01, 200),
    (1.0, 0.26, 203),
    (1.5, 0.01, 203),
    (2.0, 0.70, 200),
    (2.5, 1.00, 503),
    (3.0, 0.01, 200),
]


def recorded(rows, late=0.0, note=""):
    """A recording from tuples: intended, latency (s), status."""
    table = pd.DataFrame(rows, columns=["intended", "latency", "status"])
    table["ok"] = table["status"].between(200, 399)
    table["started"] = table["intended"] + late
    table = table.assign(warmup=False)
    return Recording(table, begin=0.0, seconds=10.0, late=bool(note), note=note)
