"""A chapter as `lab new` makes it: it must pass, untouched, what every chapter must pass."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_services import paths
from lab_services.command.new import make
from lab_services.errors import LabError
from lab_services.git import git
from lab_services.stack import engine

CHAPTER = "operation/trial-chapter"
FOLDER = "lab_services/patterns/operation/trial_chapter"
TOC = f"""format: jb-book
root: book/index
parts:
  - caption: Operation
    chapters:
      - file: book/{CHAPTER}
        sections:
          - file: labs/{CHAPTER}
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of this checkout with a new chapter, whose book holds that chapter only."""
    root = tmp_path_factory.mktemp("checkout")
    files = git(paths.repository(), "ls-files", "--cached", "--others", "--exclude-standard")
    for name in files.splitlines():
        source = paths.repository() / name
        if source.is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / name)
    for folder in ("book", "labs", "tests/patterns"):
        shutil.rmtree(root / folder)
    # The code stays: the new chapter runs a predictor of another.
    for stack in (root / "lab_services/patterns").glob("*/*/compose.yaml"):
        stack.unlink()
    assert call(root, "-m", "lab_services.command", "new", CHAPTER) == 0
    (root / "_toc.yml").write_text(TOC)
    (root / "book/index.md").write_text("# A book\n")
    yield root


def call(root: Path, *words: str | Path) -> int:
    """Run Python in the copy, whose modules come before the installed ones."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}).returncode


def test_its_code_is_clean(checkout: Path) -> None:
    """A template that style or type checks turn down."""
    assert call(checkout, "-m", "ruff", "check", FOLDER, "labs", "tests/patterns") == 0
    assert call(checkout, "-m", "ruff", "format", "--check", FOLDER, "labs", "tests/patterns") == 0
    assert call(checkout, "-m", "mypy", FOLDER) == 0


def test_it_has_all_parts(checkout: Path) -> None:
    """A template behind the standard that the chapters are held to; its own test included."""
    chapters = ["tests/notebooks/test_chapters.py", "-k", CHAPTER]
    assert call(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chapters) == 0
    service = "tests/patterns/test_trial_chapter.py"
    assert call(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", service) == 0


@pytest.mark.timeout(600)
def test_it_runs_and_its_page_builds(checkout: Path) -> None:
    """A template whose claims do not hold, or whose page asks for what the lab does not keep."""
    run(checkout, "process")
    assert call(checkout, "-m", "lab_services.book") == 0
    page = (checkout / f"_build/html/book/{CHAPTER}.html").read_text()
    assert "Trial chapter" in page


@pytest.mark.docker
@pytest.mark.timeout(600)
def test_it_runs_in_containers(checkout: Path) -> None:
    """A template that works on the author's machine only."""
    client = engine.connect().client
    before = {tag for image in client.images.list("lab-services") for tag in image.tags}
    try:
        run(checkout, "docker")
    finally:
        for image in client.images.list("lab-services"):
            for tag in set(image.tags) - before:
                client.images.remove(tag)


def run(checkout: Path, runtime: str) -> None:
    lab = f"labs/{CHAPTER}.ipynb"
    command = ("-m", "lab_services.command", "run", lab, "--shortest", "--runtime", runtime)
    code = call(checkout, *command, "--out", checkout / "runs")
    assert code == 0


@pytest.mark.parametrize("name", ["serving", "trial/one", "serving/", "serving/A b", "../x"])
def test_a_wrong_name_is_refused(tmp_path: Path, name: str) -> None:
    """Files in the wrong place, or outside of the book."""
    (tmp_path / "_toc.yml").write_text(TOC)
    with pytest.raises(LabError, match="is not a group and a slug"):
        make(tmp_path, name)
    assert [file.name for file in tmp_path.iterdir()] == ["_toc.yml"]


def test_a_chapter_is_never_overwritten(tmp_path: Path) -> None:
    """Somebody's chapter lost to a slip of the keyboard."""
    (tmp_path / "_toc.yml").write_text(TOC)
    page = tmp_path / "book/qa/trial.md"
    page.parent.mkdir(parents=True)
    page.write_text("mine")
    with pytest.raises(LabError, match="There is a chapter qa/trial already"):
        make(tmp_path, "qa/trial")
    assert page.read_text() == "mine"
    assert not (tmp_path / "labs").exists()


def test_it_is_listed_in_its_group(tmp_path: Path) -> None:
    """A chapter in the wrong part of the book, or in none."""
    contents = tmp_path / "_toc.yml"
    contents.write_text(TOC)
    make(tmp_path, "qa/one")
    make(tmp_path, "operation/two")
    listed = [line.split()[-1] for line in contents.read_text().splitlines() if "book/" in line]
    assert listed == ["book/index", f"book/{CHAPTER}", "book/operation/two", "book/qa/one"]
