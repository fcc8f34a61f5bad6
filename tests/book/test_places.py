"""A warning names the file in git and the cell, not the copy that is built."""

from pathlib import Path

import nbformat
import pytest

from lab_services.book.__main__ import located


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """The executed notebook of a short run: papermill's cell stands third."""
    cells = [
        nbformat.v4.new_markdown_cell("# A lab"),
        nbformat.v4.new_code_cell("seconds = 5", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("seconds = 1", metadata={"tags": ["injected-parameters"]}),
        nbformat.v4.new_markdown_cell("What was measured"),
    ]
    file = tmp_path / "labs/serving/small.ipynb"
    file.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
    return tmp_path


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("labs/serving/small.ipynb:10002:", "labs/serving/small.ipynb, cell 1:2:"),
        # The third cell of the committed lab.
        ("labs/serving/small.ipynb:40001:", "labs/serving/small.ipynb, cell 3:1:"),
        ("book/serving/small.md:12:", "book/serving/small.md:12:"),
        ("book/serving/small.md:10002:", "book/serving/small.md:10002:"),
    ],
)
def test_a_warning_names_file_and_cell(staged, place, named):
    """A copy that is mended in place of the source; a cell that is another one in the lab."""
    assert located(f"\x1b[91m{staged}/{place} WARNING: a hole", staged) == (
        f"\x1b[91m{named} WARNING: a hole"
    )
