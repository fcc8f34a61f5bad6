"""The table of latency, goodput and errors."""

import numpy as np
import pytest

from lab_services.report import summary


def test_summary_shows_all_of_it_or_says_why_not(record):
    """A p99 without the errors that made it; a p99 of too few requests."""
    ok = np.arange(500) % 10 != 0
    told = summary(
        {
            "<few>": record(np.full(500, 0.01), ok=ok, note="late"),
            "many": record(np.full(2000, 0.01)),
        },
        deadline=0.1,
    )
    page = told._repr_mimebundle_()["text/html"]
    for text in ("&lt;few&gt;", "p99 latency needs 1000", "10 % (", "goodput", "100 requests/s"):
        assert text in page
    assert "late" in repr(told)


def test_summary_of_nothing_is_refused():
    """An empty table."""
    with pytest.raises(ValueError, match="no recording"):
        summary({}, deadline=0.1)
