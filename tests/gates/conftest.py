"""Books made on the spot, good and broken."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab_services.runs.execution import execute
from tests.gates.small_book import COMPOSE, GOOD, PAGE, TOC, lab
from tests.warm import Warm

Make = Callable[..., Path]
Build = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def build(warm: Warm) -> Build:
    """Build the book at a root, as `make book` does; what it says is in stdout."""

    def command(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
        return warm.run("lab_services.book", "--root", str(root), *words, together=True)

    return command


@pytest.fixture(scope="session")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of kept runs with one of the good lab, for books that are about something else."""
    root = tmp_path_factory.mktemp("good")
    notebook = lab(root / "labs/serving/small.ipynb", *GOOD)
    execute(str(notebook), "process", root / "runs")
    return root / "runs"


@pytest.fixture
def book(tmp_path: Path, request: pytest.FixtureRequest) -> Make:
    """Make the sources of a book with one chapter, serving/small; gives its root.

    The good lab comes with its run, which is made once.
    """

    def make(*cells: str, page: str = PAGE, toc: str = TOC, text: str = "") -> Path:
        config = Path(__file__).parents[2] / "_config.yml"
        pattern = "lab_services/patterns/serving/small"
        for name, content in {
            "_config.yml": config.read_text(),
            "_toc.yml": toc,
            "book/index.md": "# A book\n",
            "book/serving/small.md": page,
            f"{pattern}/app.py": "app = None\n",
            f"{pattern}/compose.yaml": COMPOSE,
        }.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        lab(tmp_path / "labs/serving/small.ipynb", *cells, text=text)
        if cells == GOOD and not text:
            shutil.copytree(request.getfixturevalue("good_run"), tmp_path / "runs")
        return tmp_path

    return make
