"""Execute a kept run's notebook again, on another runtime, and compare what must not differ.

    python -m lab_services.report.agreement runs/docker/serving/web-single process

nbval compares the outputs of the cells tagged nbval-check-output (the claims' verdicts, shapes);
a cell that fails is a difference too.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

from lab_services.errors import LabError
from lab_services.report.claims import Verdict
from lab_services.report.run import Run

TAG = "nbval-check-output"
_RAISED = "Cell execution caused an exception"  # nbval's words


class Disagreement(LabError):
    """The runtimes do not agree; nbval's report has been printed."""


class NotEnough(Disagreement):
    """Every cell ran, but the second runtime lacks evidence for a claim: measure again."""

    exit_code = 4  # as `lab run`


def compare(folder: str | Path, runtime: str) -> None:
    """Execute the run's notebook on `runtime` and compare; prints nbval's report.

    Raises Disagreement (NotEnough where it may be one by chance), RunMissing, and LabError when
    the run itself failed or when no cell is tagged, so that nothing would be compared.
    """
    run = Run.load(folder)
    if run.failed:
        raise LabError(f"The run has failed, there is nothing to compare with.\n{run.failed}")
    notebook = nbformat.read(run.notebook, as_version=4)  # type: ignore[no-untyped-call]
    if not any(TAG in cell.metadata.get("tags", []) for cell in notebook.cells):
        raise LabError(f"No cell of {run.lab} is tagged {TAG}: nothing would be compared.")
    # A configuration of its own: what the caller's tests are set to does not concern the labs.
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={run.folder}"]
    command += ["-p", "no:cacheprovider", "-W", "error", "--timeout=0"]
    command += ["--nbval-lax", "--nbval-current-env", str(run.notebook)]
    # nbval takes the kernel named python3; in a virtual environment its own comes first by this.
    environment = {**os.environ, "LAB_RUNTIME": runtime, "JUPYTER_PREFER_ENV_PATH": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    told = []
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            told.append(line)
    if process.returncode != 0:
        report = "".join(told)
        undecided = f"{Verdict.NOT_ENOUGH}: " in report and _RAISED not in report
        raise (NotEnough if undecided else Disagreement)(
            f"{run.lab}: {run.runtime} and {runtime} do not agree, or a cell fails on {runtime}.",
            "The report above shows the cell with both outputs.",
        )


def main(arguments: Sequence[str]) -> int:
    """The command line: RUN_FOLDER RUNTIME."""
    if len(arguments) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        compare(*arguments)
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
