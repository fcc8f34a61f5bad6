"""What a lab executes: the files, and a key that changes when one of them does.

It is the code of the notebook with its tags and `metadata.lab_services`, the lab's own folder
below `patterns`, what both import and name of this package (its helpers in `labs` too), the
recipes of the models, the image and the lock file. Text, outputs and READMEs are no part of it.

Half of that only works out what was measured. What is `measuring` are the cells with the tag
`live` and those that give them names, so with a change elsewhere a kept run can be replayed.
"""

import ast
import hashlib
import json
import re
import symtable
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab_services import paths
from lab_services.errors import LabError
from lab_services.runs import notebook_file
from lab_services.runs.imports import PACKAGE, Closure, contents, read
from lab_services.runs.notebook_file import LIVE, Cell

# What services run from and with, beside the package: `.dockerignore` says what is in the image.
LOCK = Path("uv.lock")
ENVIRONMENT = (Path(".dockerignore"), LOCK)
# A stack's supervisor and its image; the models that its services load.
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
    found = notebook_file.read(root / notebook)
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


# Methods of lists, dictionaries, sets and queues that change them.
_CHANGES = {
    *("append", "appendleft", "add", "extend", "insert", "update", "setdefault", "sort", "reverse"),
    *("remove", "discard", "pop", "popitem", "popleft", "clear", "put"),
}


def _measuring(cells: Sequence[tuple[int, Cell]]) -> list[tuple[int, Cell]]:
    """The live cells, and those that give or change a value which a chosen cell uses."""
    code = {number: _python(cell.text, f"cell {number}") for number, cell in cells}
    tables = {
        number: symtable.symtable(_scoped(text), "cell", "exec") for number, text in code.items()
    }
    chosen = {number for number, cell in cells if LIVE in cell.metadata.tags}
    while True:
        needed = {name for number in chosen for name in _used(tables[number])}
        more = {
            number
            for number, table in tables.items()
            if needed.intersection(_bound(table))
            or needed.intersection(_changed(ast.parse(code[number])))
        }
        if more <= chosen:
            return [(number, cell) for number, cell in cells if number in chosen]
        chosen |= more


class _Scopes(ast.NodeTransformer):
    """Makes of each comprehension a generator expression over the same names."""

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp) -> ast.AST:
        return self.generic_visit(ast.GeneratorExp(node.elt, node.generators))

    visit_SetComp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        both = ast.Tuple([node.key, node.value], ast.Load())
        return self.generic_visit(ast.GeneratorExp(both, node.generators))


def _scoped(text: str) -> str:
    """Code in which a comprehension's own names stay in it.

    From Python 3.12 on `symtable` gives them to whatever holds the comprehension (PEP 709).
    """
    return ast.unparse(ast.fix_missing_locations(_Scopes().visit(ast.parse(text))))


def _used(table: symtable.SymbolTable) -> Iterator[str]:
    """The names of the notebook that a cell and the functions in it use."""
    top = table.get_type() == "module"
    yield from (each.get_name() for each in table.get_symbols() if top or each.is_global())
    for inner in table.get_children():
        yield from _used(inner)


def _bound(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_assigned() or symbol.is_imported():
            yield symbol.get_name()


def _changed(tree: ast.Module) -> Iterator[str]:
    """The names of objects that are given an item or an attribute, or filled or emptied."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _CHANGES
        ):
            inner: ast.expr = node.func.value
        elif isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            inner = node.value
        else:
            continue
        while isinstance(inner, ast.Subscript | ast.Attribute):
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield inner.id


def _python(code: str, where: str) -> str:
    """The code of a cell, with IPython's magics as plain strings. Raises LabError."""
    try:
        ast.parse(code)
    except (SyntaxError, ValueError):
        code = _MAGIC.sub(lambda line: f"{line[1]}({line[2]!r},)", code)
        read(code, "", False, where)
    return code
