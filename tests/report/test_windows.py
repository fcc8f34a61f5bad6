"""A part of a recording by time."""

import numpy as np
import pandas as pd
import pytest

from lab_services.report import ERRORS
from lab_services.report.windows import window
from lab_services.traffic.recording import Recording


def recording(*, warmup=0):
    table = pd.DataFrame({"intended": 100 + np.arange(5.0), "latency": np.arange(5.0) / 10})
    table = table.assign(ok=True, warmup=table.index < warmup)
    return Recording(table, begin=100.0 + warmup, seconds=5.0, note="late")


def test_the_beginning_belongs_to_a_part_and_the_end_does_not():
    """A request that is counted before and after a fault, or in neither."""
    before, after = window(recording(), 100, 102), window(recording(), 102, np.inf)
    assert before.table["latency"].tolist() == [0.0, 0.1]
    assert after.table["latency"].tolist() == [0.2, 0.3, 0.4]
    assert after.table.index.tolist() == [0, 1, 2]
    assert after.note == "late", "what speaks against the whole speaks against its parts"


def test_the_warm_up_is_in_no_part():
    """The first requests of a cold service in its normal time."""
    assert len(window(recording(warmup=2), 100, 104)) == 2


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [(150, 160, "from 50 to 60 s after the beginning"), (np.nan, 160, "time that is not known")],
)
def test_a_part_without_requests_says_so(begin, end, said):
    """A phase that nobody measured and that silently has a share, or ends the lab."""
    part = window(recording(), begin, end)
    assert said in part.note and part.note.startswith("late; ")
    found = ERRORS(part)
    assert not found.known and said in found.note


def test_a_part_runs_forwards():
    """Two times in the wrong order, taken for a phase without requests."""
    with pytest.raises(ValueError, match="No time goes from 3 to 2 s"):
        window(recording(), 103, 102)
