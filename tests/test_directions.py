"""Which package may import which: one way, as CONTRIBUTING says."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab_services

_HOME = Path(lab_services.__file__).parent
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


def imported(source: str) -> Iterator[str]:
    """The packages of lab_services that a module imports, at its head or later."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            case _:
                continue
        for name in names:
            first, _, rest = name.partition(".")
            if first == "lab_services" and rest:
                yield rest.partition(".")[0]


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
    assert set(imported(source)) == {"command"}
