"""Every lab there is, one after the other: they measure, so nothing may run beside them.

papermill executes it on containers, by `lab run`, and every claim must hold; nbval then executes
that very notebook on plain processes and compares what may not depend on the runtime, by `turns`
for one half of the labs or the other. Where no engine answers, papermill executes all on processes.

A claim that fails is an error. A run without enough evidence for a claim says nothing of it, so it
is repeated, once.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from lab_services import paths
from tests.labs.turns import LABS, on_processes, turn

# Beside the runs that the book is built from, which are longer: these are in short mode.
RUNS = paths.repository() / "runs" / "tests"
UNDECIDED = 4
ENDS = {
    0: "every claim holds",
    1: "it could not be run, or the runtimes do not agree",
    3: "a claim fails",
    UNDECIDED: "not enough evidence for a claim, twice",
    5: "a cell fails",
}


@pytest.mark.parametrize("lab", LABS)
@pytest.mark.docker
@pytest.mark.timeout(3600)
def test_the_claims_hold_on_docker(lab: str) -> None:
    """A lab that does not run from top to bottom; a statement of a chapter that is not true."""
    run(lab, "docker")


@pytest.mark.parametrize("lab", on_processes())
@pytest.mark.timeout(3600)
def test_plain_processes_agree(lab: str, docker_answers: bool) -> None:
    """A lab that says one thing in containers and another on a machine without them."""
    if not docker_answers:
        run(lab, "process")
    folder = RUNS / ("docker" if docker_answers else "process") / lab
    code = decided(module("report.agreement", folder, "process"))
    assert code == 0, f"{lab} on process: {ENDS.get(code, f'exit code {code}')}"


def run(lab: str, runtime: str) -> None:
    command = module("command", "run", lab, "--short", "--runtime", runtime, "--out", RUNS)
    code = decided(command)
    assert code == 0, f"{lab} on {runtime}: {ENDS.get(code, f'exit code {code}')}"


def decided(command: list[str]) -> int:
    """The command's exit code; it runs again where the first time did not decide."""
    code = subprocess.run(command).returncode
    if code != UNDECIDED:
        return code
    sys.stdout.write("Not enough evidence: measured once more.\n")
    return subprocess.run(command).returncode


@pytest.mark.parametrize(("codes", "runs"), [((4, 0), 2), ((4, 4), 2), ((3, 0), 1), ((0, 3), 1)])
def test_only_who_lacks_evidence_measures_again(
    codes: tuple[int, ...], runs: int, tmp_path: Path
) -> None:
    """A claim that fails and gets a second chance; a lab that is measured until it pleases."""
    log = tmp_path / "runs"
    log.touch()
    command = f"""import pathlib, sys
log = pathlib.Path({str(log)!r})
log.write_text(log.read_text() + ".")
sys.exit({codes}[len(log.read_text()) - 1])"""
    assert decided([sys.executable, "-c", command]) == codes[runs - 1]
    assert len(log.read_text()) == runs


def test_two_commits_run_all_labs_on_processes() -> None:
    """A lab that no commit ever runs on processes; a checkout without git that runs half."""
    labs = ["a", "b", "c"]
    assert sorted(turn(labs, "0f") + turn(labs, "1e")) == labs == turn(labs, "")


def module(name: str, *words: str | Path) -> list[str]:
    return [sys.executable, "-m", f"lab_services.{name}", *map(str, words)]
