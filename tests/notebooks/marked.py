"""nbval: an executed lab's marked cells, executed again on a runtime, give the same output."""

import os
import subprocess
import sys

import nbformat

from lab_services.runs.run import Run

TAG = "nbval-check-output"


def compare(run: Run, runtime: str) -> tuple[bool, str]:
    """Whether all cells run on `runtime` and the marked ones print what they have printed in the
    run; and nbval's report. Fails where no cell is marked: nothing would be compared.
    """
    notebook = nbformat.read(run.notebook, as_version=4)
    assert any(TAG in c.metadata.get("tags", []) for c in notebook.cells), f"no cell has {TAG}"
    # A configuration of its own: what these tests are set to does not concern the labs.
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={run.folder}"]
    # Only the plugins that are needed, after this package, whose import quickens nbval's.
    command += ["-p", "lab_services", "-p", "nbval.plugin", "-p", "no:cacheprovider", "-W", "error"]
    command += ["--nbval-lax", "--nbval-current-env", str(run.notebook)]
    environment = {
        **os.environ,
        "LAB_RUNTIME": runtime,
        "LAB_HEADLESS": "1",
        # A second measurement has verdicts of its own: what it claims is the same.
        "LAB_JUDGED": "0",
        # nbval takes the kernel named python3; a virtual environment's own comes first by this.
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    environment.pop("PYTEST_ADDOPTS", None)
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode == 0, done.stdout
