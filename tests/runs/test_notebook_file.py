"""Files that are no notebooks, wherever a notebook is read: an error that names the file."""

import json
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from lab_services import paths
from lab_services.book import sources
from lab_services.command import cli
from lab_services.errors import LabError
from lab_services.runs import notebook_file
from lab_services.runs.notebook import Lab, Length
from lab_services.runs.run import Run, execute

NONE = {
    "empty": b"",
    "text": b"not JSON",
    "a list": b"[]",
    "no cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "cells that are none": b'{"nbformat": 4, "metadata": {}, "cells": ["import this"]}',
    "not UTF-8": b'{"nbformat": 4, "metadata": {}, "cells": [{"cell_type": "code", '
    b'"metadata": {}, "source": "\xe9"}]}',
    "UTF-16": '{"nbformat": 4}'.encode("utf-16"),
    "metadata of another kind": b'{"nbformat": 4, "metadata": {"lab_services": [], "cells": []}}',
    "an old one": b'{"nbformat": 3, "metadata": {}, "worksheets": []}',
    "endless": b"[" * 100_000,
}


@pytest.fixture(params=NONE.values(), ids=NONE)  # type: ignore[call-overload]
def none(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A lab of the book that is no notebook."""
    file = tmp_path / "labs/serving/wrong.ipynb"
    file.parent.mkdir(parents=True)
    file.write_bytes(request.param)
    return file


def executed(file: Path) -> None:
    execute(file, runtime="process", out=file.parent, parameters={"seconds": 1})


def shown(file: Path) -> None:
    run = Run(file.parent, {"lab": "serving/wrong"})
    file.rename(run.notebook)
    sources.stage(file.parent, [[run]], file.parent / "staged", {}, file.parent / "steady")


@pytest.mark.parametrize(
    "use",
    [
        notebook_file.read,
        executed,
        shown,
        lambda file: Lab.find(file).parameters(Length.SHORT),
        lambda file: sources.kept_runs(file.parents[2], kept(file), "serving/wrong"),
    ],
    ids=["read", "run", "book", "short", "kept runs"],
)
def test_what_is_no_notebook_is_named(none: Path, use: Callable[[Path], object]) -> None:
    """A traceback that does not say which of forty files it is about."""
    with pytest.raises(LabError, match=r"\.ipynb is no notebook: .+\nSave it once"):
        use(none)


def test_a_notebook_without_a_cell_is_not_run(tmp_path: Path) -> None:
    """A traceback of statistics over nothing."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    file = tmp_path / "lab.ipynb"
    nbformat.write(nbformat.v4.new_notebook(metadata={"kernelspec": kernel}), file)
    with pytest.raises(LabError, match=r"lab\.ipynb has no cells"):
        execute(file, runtime="process", out=tmp_path)


def kept(file: Path) -> Path:
    """A run of the lab when it was still one."""
    folder = file.parent / "runs/process/serving/wrong"
    folder.mkdir(parents=True)
    (folder / "measurements.json").write_text('{"source": "", "error": null}')
    return file.parent / "runs"


def test_the_list_of_labs_names_it(none: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lab list` that ends with a KeyError."""
    monkeypatch.setattr(paths, "repository", lambda: none.parents[2])
    told = CliRunner().invoke(cli, ["list"])
    assert (told.exit_code, "wrong.ipynb is no notebook" in told.output) == (1, True)


def test_a_notebook_with_a_cell_of_no_kind_is_none(tmp_path: Path) -> None:
    """What nbformat only writes into a log, and papermill then fails on."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    notebook.cells[0]["cell_type"] = "music"
    file = tmp_path / "lab.ipynb"
    file.write_text(json.dumps(notebook))
    with pytest.raises(LabError, match=r"lab\.ipynb is no notebook"):
        Lab.find(file).read()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A traceback for a folder of that name."""
    with pytest.raises(LabError, match=r"lab\.ipynb cannot be read: Is a directory"):
        (tmp_path / "lab.ipynb").mkdir()
        notebook_file.read(tmp_path / "lab.ipynb")
