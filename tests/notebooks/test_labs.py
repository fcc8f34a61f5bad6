"""Every lab there is, once from top to bottom, in its shortest form: whether the software works.

papermill executes each on plain processes. Some each day are executed again by nbval, in containers
where an engine answers. Whether claims hold is asked elsewhere, by `make prove`: here each verdict
is kept, and none is judged.
"""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest

from lab_services import paths
from lab_services.command.prove import choose
from lab_services.runs.notebook import Lab, Length
from lab_services.runs.run import (
    NothingToReplay,
    Run,
    RunMissing,
    broken_off,
    execute_again,
)
from lab_services.stack.needs import missing_programs
from tests.notebooks import asked, marked

ROOT = paths.repository()
LABS = [f"{file.parent.name}/{file.stem}" for file in sorted((ROOT / "labs").glob("*/*.ipynb"))]
# Beside the runs that the book is published from, which are longer.
RUNS = ROOT / "runs" / "tests"
# The day whose labs nbval executes again; LAB_DAY=2026-11-30 asks for those of another day.
DAY = datetime.fromisoformat(os.environ.get("LAB_DAY") or datetime.now(UTC).date().isoformat())
TODAY = choose([], every=False, listed=[], sample=4, day=DAY)


@pytest.mark.parametrize("lab", LABS)
@pytest.mark.timeout(600)
def test_every_cell_runs_and_keeps_its_names(lab: str) -> None:
    """A lab that does not come to its end, or a number that a page asks for and nobody keeps."""
    needed(lab)
    run = executed(lab)
    assert not run.failed
    assert run.claims
    assert asked.numbers(ROOT, lab) <= set(run.data["measurements"])
    assert asked.figures(ROOT, lab) <= set(run.data["figures"])
    cells = nbformat.read(run.notebook, as_version=4).cells
    proofs = [cell for cell in cells if ".prove(" in cell.source]
    assert len(run.data["exercises"]) == len(proofs)
    # Each guess was answered, in a run in which nobody has guessed.
    questions = sum(cell.source.count("= Guess(") for cell in cells)
    assert len(run.data["guesses"]) == questions
    # Too little is measured to judge by, and every claim may lack evidence; but a check that raises
    # is broken, and so is a lab of which next to nothing is known.
    assert not [each for each in run.data["exercises"] if "raises" in each["fault"]]
    known = [each for each in run.data["measurements"].values() if each["value"] is not None]
    assert len(known) >= len(run.data["measurements"]) / 2


@pytest.mark.parametrize("lab", TODAY)
@pytest.mark.timeout(600)
def test_marked_cells_agree(lab: str, docker_answers: bool) -> None:
    """A lab that does not run in containers, or that claims other things there."""
    needed(lab)
    agrees, report = marked.compare(kept(lab), "docker" if docker_answers else "process")
    assert agrees, f"{report}\nThe day was {DAY.date()}: LAB_DAY asks for its labs again."


@pytest.mark.parametrize("lab", TODAY)
@pytest.mark.timeout(600)
def test_a_replay_gives_the_same(lab: str, tmp_path: Path) -> None:
    """A cell that asks the stack or the clock and is not marked as live; chance without a seed."""
    needed(lab)
    run = kept(lab)
    try:
        again = execute_again(run, lab, tmp_path)
    except NothingToReplay:  # a run of before a change
        run = executed(lab)
        again = execute_again(run, lab, tmp_path)
    assert not again.failed
    for same in ("measurements", "claims", "figures"):
        assert again.data[same] == run.data[same]


def needed(lab: str) -> None:
    """Raises BinaryMissing, for which a test is skipped, where a server of the lab is missing."""
    for error in missing_programs(lab):
        raise error


def executed(lab: str) -> Run:
    """A new run of the lab, in a process of its own as everybody runs it."""
    command = [sys.executable, "-m", "lab_services.command", "run", lab, "--shortest"]
    command += ["--runtime", "process", "--out", str(RUNS)]
    code = subprocess.run(command).returncode
    assert code in (0, 5), f"{lab} could not be run: exit code {code}"
    folder = RUNS / "process" / lab
    return Run.load(broken_off(folder) if code else folder)


def kept(lab: str) -> Run:
    """The run that the test above has made, or a new one."""
    try:
        run = Run.load(RUNS / "process" / lab)
    except RunMissing:
        return executed(lab)
    fresh = run.made_from(Lab.find(lab)) and run.length is Length.SHORTEST
    return run if fresh else executed(lab)
