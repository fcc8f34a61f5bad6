"""The gate between runtimes: nbval on a kept run."""

import subprocess
import sys
from pathlib import Path

import pytest
from small_book import CLAIM, FIGURE, GOOD, MEASURE, SETTLE, lab

from lab_services.report.run import execute


def compare(tmp_path: Path, *cells: str) -> subprocess.CompletedProcess[str]:
    """Run the lab as on docker, then compare as on plain processes."""
    run = execute(lab(tmp_path / "lab.ipynb", *cells), runtime="docker", out=tmp_path / "runs")
    command = [sys.executable, "-m", "lab_services.report.agreement", str(run.folder), "process"]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def test_runtimes_that_agree_pass(tmp_path):
    """A gate that is always shut: figures and numbers may differ, verdicts do not."""
    moving = "import random\nprint(random.random())"
    done = compare(tmp_path, *GOOD[:2], moving, *GOOD[2:])
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


@pytest.mark.parametrize(("bound", "code"), [("1.35", 4), ("2", 1)])
def test_verdict_that_differs_is_found(tmp_path, bound, code):
    """A lab that holds in containers, and shows too little or fails on plain processes."""
    differs = CLAIM.replace("1.2", f"1.2 if os.environ['LAB_RUNTIME'] == 'docker' else {bound}")
    done = compare(tmp_path, MEASURE, FIGURE, differs)
    assert done.returncode == code
    assert "holds: it gains" in done.stdout
    assert "do not agree" in done.stdout


def test_cell_that_fails_on_the_other_runtime_is_found(tmp_path):
    """A lab that only runs in containers, which no second run may excuse."""
    fails = "import os\nassert os.environ['LAB_RUNTIME'] == 'docker'"
    little = CLAIM.replace("1.2", "1.2 if os.environ['LAB_RUNTIME'] == 'docker' else 1.35")
    done = compare(tmp_path, MEASURE, FIGURE, little, fails)
    assert done.returncode == 1
    assert "AssertionError" in done.stdout


def test_nothing_to_compare_is_no_agreement(tmp_path):
    """A lab without a tagged cell, of which any two runs agree."""
    done = compare(tmp_path, MEASURE, FIGURE, "claims = Claims()\nclaims.claim('a', 1, at_least=1)")
    assert done.returncode != 0
    assert "nothing would be compared" in done.stdout


def test_failed_run_is_not_compared(tmp_path):
    """Two runs that agree in failing."""
    done = compare(tmp_path, *GOOD[:3], SETTLE, "1 / 0")
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stdout
