"""The comparison of marked cells by nbval: each fault alone turns it red."""

from pathlib import Path

import pytest

from lab_services.runs.notebook import Length
from lab_services.runs.run import execute
from tests.gates.small_book import CLAIM, GOOD, lab
from tests.notebooks.marked import compare

CELL = "import os\nverdicts = lambda: print({text})\nverdicts()"
ONE = CELL.format(text="'it gains'")
BY_RUNTIME = CELL.format(text="os.environ['LAB_RUNTIME']")
MOVING = "import random\nprint(random.random())"
FAILS = "import os\nassert os.environ['LAB_RUNTIME'] == 'docker'"


@pytest.mark.parametrize(
    ("cells", "agree", "said"),
    [
        # Numbers may differ, and so may verdicts: they are not compared here.
        ((*GOOD[:2], MOVING, CLAIM.replace("1.2", "random.choice([1, 2])")), True, "4 passed"),
        ((BY_RUNTIME,), False, "process"),
        ((ONE, FAILS), False, "AssertionError"),
    ],
)
def test_what_differs_is_found(
    tmp_path: Path, cells: tuple[str, ...], agree: bool, said: str
) -> None:
    """A gate that is always shut, or always open: a claim or a cell of one runtime only."""
    file = lab(tmp_path / "lab.ipynb", *cells)
    run = execute(file, runtime="docker", out=tmp_path / "runs", length=Length.SHORTEST)
    agrees, report = compare(run, "process")
    assert agrees is agree, report
    assert said in report


def test_nothing_to_compare_is_no_agreement(tmp_path: Path) -> None:
    """A lab without a marked cell, of which any two runs agree."""
    run = execute(lab(tmp_path / "lab.ipynb", "1"), runtime="process", out=tmp_path / "runs")
    with pytest.raises(AssertionError, match="no cell has"):
        compare(run, "process")
