"""Which package may import which: one way, as CONTRIBUTING says."""

import ast
import graphlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab_services

_HOME = Path(lab_services.__file__).parent
_ROOT = Path(__file__).parents[1]
_PEOPLE = {"book", "command"}
_NOTEBOOKS = {"labs", "runs", *_PEOPLE}
_MEASURING = {"stack", "traffic", "report", *_NOTEBOOKS}
# What each package of lab_services must not import, and why.
_NEVER = {
    "models": (
        {"services", "patterns", *_MEASURING},
        "models are read by every service and know none of them",
    ),
    "services": (
        {"patterns", *_MEASURING},
        "what runs in a service is in the image, and nothing that starts, loads or judges it is",
    ),
    "patterns": (
        _MEASURING,
        "what runs in a service is in the image, and nothing that starts, loads or judges it is;"
        " what only the notebook needs belongs to labs",
    ),
    "stack": (
        {"models", "services", "patterns", "traffic", "report", *_NOTEBOOKS},
        "the stack runs any Compose file and knows no pattern",
    ),
    "traffic": (
        {"services", "patterns", "report", *_NOTEBOOKS},
        "whoever sends needs no statistics",
    ),
    "report": (
        {"services", "patterns", *_NOTEBOOKS},
        "statistics and charts know neither the chapters nor where runs are kept",
    ),
    "labs": ({"runs", *_PEOPLE}, "a notebook does not know who executes it"),
    "runs": ({"services", "patterns", "labs", *_PEOPLE}, "every notebook is executed alike"),
    "book": ({"labs", "command"}, "the book is built from kept runs"),
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


def packages(source: str) -> Iterator[tuple[str, str]]:
    """The packages of lab_services that a module imports, each with the full name."""
    yield from ((name.split(".")[1], name) for name in named(source))


def cells(lab: Path) -> str:
    """The code of a lab, without lines that only a notebook understands."""
    sources = (
        line
        for cell in json.loads(lab.read_text())["cells"]
        if cell["cell_type"] == "code"
        for line in "".join(cell["source"]).splitlines()
    )
    return "\n".join(line for line in sources if not line.startswith(("%", "!")))


def wrong_ways(home: Path) -> Iterator[str]:
    """Each import against a direction: both modules and the rule."""
    for package, (never, rule) in _NEVER.items():
        for file in sorted((home / package).rglob("*.py")):
            module = ".".join(file.relative_to(home.parent).with_suffix("").parts)
            for other, name in packages(file.read_text()):
                if other in never:
                    yield f"{module} imports {name}, but {rule} ({package} never imports {other})."


def test_dependencies_point_one_way() -> None:
    """A part that cannot be understood, or shipped in the image, without all the others."""
    assert all((_HOME / package).is_dir() for package in _NEVER)
    wrong = list(wrong_ways(_HOME))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("services", "import lab_services.report.stats"),
        ("patterns", "from lab_services import traffic"),
        ("models", "from lab_services.labs import x"),
        ("stack", "def later():\n    from lab_services.models import store"),
    ],
)
def test_an_import_against_the_direction_is_told(tmp_path: Path, package: str, line: str) -> None:
    """A search that finds no import because of how it is written; a message that says no rule."""
    file = tmp_path / "lab_services" / package / "deep" / "module.py"
    file.parent.mkdir(parents=True)
    file.write_text(line)
    (told,) = wrong_ways(tmp_path / "lab_services")
    assert f"lab_services.{package}.deep.module imports lab_services." in told
    assert _NEVER[package][1] in told


# --- circles -------------------------------------------------------------------------------------


def modules(home: Path) -> dict[str, Path]:
    """Every module of the package by its full name."""
    found = {}
    for file in sorted(home.rglob("*.py")):
        parts = file.relative_to(home.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def circle(home: Path) -> list[str]:
    """Modules of which each imports the next, and the last the first; none: an empty list.

    What a package's own `__init__` offers is no dependency of it: faces are lazy. An import for
    types alone counts.
    """
    known = modules(home)
    graph: dict[str, set[str]] = {}
    for module, file in known.items():
        if file.name == "__init__.py":
            continue
        leads = set()
        for name in named(file.read_text()):
            while name not in known and "." in name:
                name = name.rpartition(".")[0]
            leads.add(name)
        graph[module] = leads - {module}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def test_no_module_needs_itself() -> None:
    """Two modules that can only be understood, or changed, together."""
    assert not (found := circle(_HOME)), " imports ".join(found)


def test_a_circle_is_found(tmp_path: Path) -> None:
    """A search that finds none."""
    home = tmp_path / "lab_services"
    home.mkdir()
    (home / "a.py").write_text("from lab_services import b")
    (home / "b.py").write_text("def later():\n    from lab_services.a import x")
    assert circle(home) in (
        ["lab_services.a", "lab_services.b", "lab_services.a"],
        ["lab_services.b", "lab_services.a", "lab_services.b"],
    )


# --- chapters ------------------------------------------------------------------------------------

_CHAPTER = re.compile(r"lab_services[./](?:patterns|labs)[./]\w+[./](\w+)")


def chapters(source: str) -> set[str]:
    """The chapters whose code a text names: a module's imports, a Compose file's commands."""
    of_groups = re.sub(
        r"from (lab_services\.(?:patterns|labs)\.\w+) import (\w+)", r"\1.\2", source
    )
    return set(_CHAPTER.findall(of_groups))


def belonging() -> Iterator[tuple[str, Path, str]]:
    """All code of every chapter, its lab and its tests: the chapter's name, the file, the text."""
    for folder in ("patterns", "labs"):
        for file in sorted((_HOME / folder).glob("*/*/**/*")) + sorted(
            (_HOME / folder).glob("*/*.py")
        ):
            is_code = file.suffix in (".py", ".yaml", ".yml", ".jinja")
            if is_code and file.name != "__init__.py":
                yield Path(file.relative_to(_HOME / folder).parts[1]).stem, file, file.read_text()
    for lab in sorted((_ROOT / "labs").glob("*/*.ipynb")):
        yield lab.stem.replace("-", "_"), lab, cells(lab)
    for test in sorted((_ROOT / "tests/patterns").glob("test_*.py")):
        yield test.stem.removeprefix("test_"), test, test.read_text()


def test_no_chapter_is_built_on_another() -> None:
    """A change to one chapter that breaks another; what both need belongs to services or report."""
    found = list(belonging())
    assert {file.suffix for _, file, _ in found} >= {".py", ".ipynb", ".yaml"}
    wrong = [
        f"{file.relative_to(_ROOT)} uses code of the chapter {other}, but what two chapters need"
        " belongs to services, models, traffic or report."
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
        "from lab_services.labs.qa import one as lab",
        "def later():\n    from lab_services.patterns.qa.one.app import app",
        "command: [python, -m, uvicorn, lab_services.patterns.qa.one.app:app]",
        "volumes: [../../../lab_services/patterns/qa/one/envoy.yaml:/etc/envoy.yaml]",
    ],
)
def test_every_way_to_use_a_chapter_is_seen(source: str) -> None:
    """A chapter that is found in some places only."""
    assert chapters(source) == {"one"}


def test_the_code_of_a_lab_is_found(tmp_path: Path) -> None:
    """A lab that is never looked at, or one whose magic stops the search."""
    lab = tmp_path / "lab.ipynb"
    code = ["%matplotlib inline\n", "from lab_services.patterns.qa.one import app"]
    markdown = {"cell_type": "markdown", "source": ["import this ("]}
    lab.write_text(json.dumps({"cells": [markdown, {"cell_type": "code", "source": code}]}))
    assert chapters(cells(lab)) == {"one"}
