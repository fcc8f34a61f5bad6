"""Committed labs hold no outputs, so that no stale number survives and nothing is spoiled."""

from pathlib import Path

import nbformat
import pytest

from lab_services import paths
from lab_services.runs.notebook import leftovers
from tests.gates.small_book import lab

LABS = sorted((paths.repository() / "labs").glob("*/*.ipynb"))


@pytest.mark.parametrize("file", LABS, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_lab_is_committed_without_outputs(file: Path) -> None:
    """Outputs, execution counts or papermill's traces in git."""
    assert leftovers(nbformat.read(file, as_version=4)) == []


def test_there_are_labs():
    """A glob that finds nothing, and so proves nothing."""
    assert LABS


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("outputs", [nbformat.v4.new_output("stream", text="1\n")], "cell 2 has outputs"),
        ("execution_count", 3, "cell 2 has an execution count"),
    ],
)
def test_leftovers_are_found(tmp_path, field, value, said):
    """A check that sees nothing."""
    notebook = nbformat.read(lab(tmp_path / "lab.ipynb", "print(1)"), as_version=4)
    assert leftovers(notebook) == []
    notebook.cells[1][field] = value
    assert leftovers(notebook) == [said]


def test_traces_of_a_run_are_found(tmp_path):
    """A run committed in place of the lab."""
    notebook = nbformat.read(lab(tmp_path / "lab.ipynb", "print(1)"), as_version=4)
    notebook.metadata["papermill"] = {}
    notebook.cells[1].metadata["execution"] = {}
    assert leftovers(notebook) == ["papermill has written into it", "cell 2 has execution times"]
