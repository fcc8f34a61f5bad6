"""Which package may import which: one way, as CONTRIBUTING says."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab_services

_HOME = Path(lab_services.__file__).parent
_ROOT = Path(__file__).parents[1]
# What each package of lab_services must not import.
_NEVER = {
    "models": {"services", "patterns", "stack", "traffic", "report", "book", "command"},
    "services": {"patterns", "stack", "traffic", "report", "book", "command"},
    "stack": {"models", "services", "patterns", "traffic", "report", "book", "command"},
    "traffic": {"services", "patterns", "report", "book", "command"},
    "report": {"services", "patterns", "book", "command"},
    "patterns": {"book", "command"},
    "book": {"command"},
}


def named(source: str) -> Iterator[str]:
    """The full names that a module imports of lab_services, at its head or later."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            case _:
                continue
        yield from (name for name in names if name.startswith("lab_services."))


def imported(source: str) -> set[str]:
    """The packages of lab_services that a module imports."""
    return {name.split(".")[1] for name in named(source)}


def chapters(source: str) -> set[str]:
    """The chapters whose packages a module imports."""
    parts = (name.split(".") for name in named(source))
    return {name[3] for name in parts if name[1] == "patterns" and len(name) > 3}


def cells(lab: Path) -> str:
    """The code of a lab, without lines that only a notebook understands."""
    sources = (
        line
        for cell in json.loads(lab.read_text())["cells"]
        if cell["cell_type"] == "code"
        for line in "".join(cell["source"]).splitlines()
    )
    return "\n".join(line for line in sources if not line.startswith(("%", "!")))


@pytest.mark.parametrize("package", sorted(_NEVER))
def test_dependencies_point_one_way(package: str) -> None:
    """A part that cannot be understood, or shipped in the image, without all the others."""
    wrong = [
        f"{file.relative_to(_HOME)} imports {name}"
        for file in sorted((_HOME / package).rglob("*.py"))
        for name in imported(file.read_text())
        if name in _NEVER[package]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "source",
    [
        "import lab_services.command.run",
        "from lab_services import command",
        "from lab_services.command import run",
        "def later():\n    from lab_services.command.run import run",
    ],
)
def test_every_way_to_import_is_seen(source: str) -> None:
    """A search that finds no import because it is written in another way."""
    assert imported(source) == {"command"}


# --- chapters ------------------------------------------------------------------------------------


def belonging() -> Iterator[tuple[str, Path, str]]:
    """The modules, the lab and the tests of every chapter: its name, the file, the code."""
    for file in sorted((_HOME / "patterns").glob("*/*/**/*.py")):
        yield file.relative_to(_HOME / "patterns").parts[1], file, file.read_text()
    for lab in sorted((_ROOT / "labs").glob("*/*.ipynb")):
        yield lab.stem.replace("-", "_"), lab, cells(lab)
    for test in sorted((_ROOT / "tests/patterns").glob("test_*.py")):
        yield test.stem.removeprefix("test_"), test, test.read_text()


def test_no_chapter_is_built_on_another() -> None:
    """A change to one chapter that breaks another; what both need belongs to services or report."""
    found = list(belonging())
    assert {file.suffix for _, file, _ in found} == {".py", ".ipynb"}
    wrong = [
        f"{file.relative_to(_ROOT)} imports from the chapter {other}"
        for chapter, file, source in found
        for other in sorted(chapters(source) - {chapter})
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "source",
    [
        "import lab_services.patterns.qa.one.app",
        "from lab_services.patterns.qa import one",
        "from lab_services.patterns.qa.one import app",
        "from lab_services.patterns.qa.one.app import app",
        "def later():\n    from lab_services.patterns.qa.one.app import app",
    ],
)
def test_every_way_to_import_a_chapter_is_seen(source: str) -> None:
    """A chapter that is found in some places only."""
    assert chapters(source) == {"one"}


def test_the_code_of_a_lab_is_found(tmp_path: Path) -> None:
    """A lab that is never looked at, or one whose magic stops the search."""
    lab = tmp_path / "lab.ipynb"
    code = ["%matplotlib inline\n", "from lab_services.patterns.qa.one import app"]
    markdown = {"cell_type": "markdown", "source": ["import this ("]}
    lab.write_text(json.dumps({"cells": [markdown, {"cell_type": "code", "source": code}]}))
    assert chapters(cells(lab)) == {"one"}
