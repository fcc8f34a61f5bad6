"""What a lab executes: the files, and a key that changes when one of them does.

It is the code of the notebook with its tags and `metadata.lab_services`, the lab's own folder below
`patterns`, what both import and name of this package, the recipes of the models, the image and the
lock file. Text, outputs and READMEs are no part of it.

Half of that only works out what was measured. What is `measuring` are the cells with the tag `live`
and those that give them names, so with a change elsewhere a kept run can be replayed.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab_services import notebooks, paths
from lab_services.errors import LabError
from lab_services.imports import PACKAGE, Closure, contents, read
from lab_services.notebooks import Cell
from lab_services.report.replay import TAG

# What services run from and with, beside the package: `.dockerignore` says what is in the image.
ENVIRONMENT = (Path(".dockerignore"), Path("uv.lock"))
# A stack's keeper and its image; the models that its services load.
_EVERY_LAB = (f"{PACKAGE}.stack.image", f"{PACKAGE}.models.build")


@dataclass(frozen=True)
class Inputs:
    """The files that a lab executes, relative to the checkout and sorted, and their key.

    The key is a SHA-256 in hex; of the notebook it covers only what is executed.
    """

    files: tuple[Path, ...]
    key: str


_MAGIC = re.compile(r"^([ \t]*)([%!].*)$", re.MULTILINE)


def inputs(lab: str, root: Path | None = None, *, measuring: bool = False) -> Inputs:
    """What the lab `lab` (`serving/web-single`) of the checkout `root` (default: this) executes.

    With `measuring` only what its live cells do. Raises LabError when there is no such notebook,
    when it is none, and for a file that is missing or is not Python.
    """
    root = (root or paths.repository()).resolve()
    notebook = Path("labs", f"{lab}.ipynb")
    if not (root / notebook).is_file():
        raise LabError(f"There is no notebook {notebook}.", "`lab list` shows the labs.")
    found = notebooks.read(root / notebook)
    cells = [(n, cell) for n, cell in enumerate(found.cells, start=1) if cell.cell_type == "code"]
    if measuring:
        cells = _measuring(cells)
    code = "\n".join(_python(cell.text, f"{notebook}, cell {number}") for number, cell in cells)
    closure = Closure(root)
    chapter = f"{PACKAGE}.patterns.{lab.replace('/', '.').replace('-', '_')}"
    closure.follow((chapter, *_EVERY_LAB))
    closure.follow(read(code, "", False, notebook.as_posix()).used)
    files = sorted({*closure.files, *ENVIRONMENT, notebook})
    told = hashlib.sha256()
    for file in files:
        if file == notebook:
            # Without the numbers: text between two cells changes nothing.
            executed = [[sorted(cell.metadata.tags), cell.text] for _, cell in cells]
            settings = found.metadata.lab_services
            content = json.dumps([executed, settings], sort_keys=True).encode()
        else:
            content = contents(root / file)
        told.update(f"{file.as_posix()}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return Inputs(tuple(files), told.hexdigest())


def _measuring(cells: Sequence[tuple[int, Cell]]) -> list[tuple[int, Cell]]:
    """The live cells, and those that bind a name which one of them, or of these, uses."""
    needed: set[str] = set()
    chosen = []
    for number, cell in reversed(cells):
        tree = ast.parse(_python(cell.text, f"cell {number}"))
        if TAG in cell.metadata.tags or needed & set(_bound(tree)):
            chosen.append((number, cell))
            needed.update(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return chosen[::-1]


def _bound(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (name.asname or name.name.partition(".")[0] for name in node.names)


def _python(code: str, where: str) -> str:
    """The code of a cell, with IPython's magics as plain strings. Raises LabError."""
    try:
        ast.parse(code)
    except (SyntaxError, ValueError):
        code = _MAGIC.sub(lambda line: f"{line[1]}({line[2]!r},)", code)
        read(code, "", False, where)
    return code
