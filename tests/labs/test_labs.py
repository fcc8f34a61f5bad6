"""Every lab there is, one after the other: they measure, so nothing may run beside them.

papermill executes it on containers, by `lab run`, and every claim must hold; nbval then executes
that very notebook on plain processes and compares what may not depend on the runtime. Where no
engine answers, papermill executes it on processes too.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from lab_services import paths

LABS = paths.repository() / "labs"
# Beside the runs that the book is built from, which are longer: these are in short mode.
RUNS = paths.repository() / "runs" / "tests"
ENDS = {
    0: "every claim holds",
    1: "it could not be run",
    3: "a claim fails",
    4: "not enough evidence for a claim",
    5: "a cell fails",
}

every_lab = pytest.mark.parametrize(
    "lab", [f"{file.parent.name}/{file.stem}" for file in sorted(LABS.glob("*/*.ipynb"))]
)


@every_lab
@pytest.mark.docker
@pytest.mark.timeout(3600)
def test_the_claims_hold_on_docker(lab: str) -> None:
    """A lab that does not run from top to bottom; a statement of a chapter that is not true."""
    run(lab, "docker")


@every_lab
@pytest.mark.timeout(3600)
def test_plain_processes_agree(lab: str, docker_answers: bool) -> None:
    """A lab that says one thing in containers and another on a machine without them."""
    if not docker_answers:
        run(lab, "process")
    folder = RUNS / ("docker" if docker_answers else "process") / lab
    assert subprocess.run(module("report.agreement", folder, "process")).returncode == 0


def run(lab: str, runtime: str) -> None:
    command = module("command", "run", lab, "--short", "--runtime", runtime, "--out", RUNS)
    code = subprocess.run(command).returncode
    assert code == 0, f"{lab} on {runtime}: {ENDS.get(code, f'exit code {code}')}"


def module(name: str, *words: str | Path) -> list[str]:
    return [sys.executable, "-m", f"lab_services.{name}", *map(str, words)]
