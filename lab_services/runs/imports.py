"""What code imports of this package, found by reading it: nothing is imported or executed.

Names are followed as Python follows them. `report.P99` of `from lab_services import report` leads
through two lazy faces (packages with a stub, `__init__.pyi`, that says where each name lives) to
`lab_services/report/stats.py`, and to no other module of `report`; a face that is handed on as a
whole leads to all that it names.
"""

import ast
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeGuard

from lab_services.errors import LabError

PACKAGE = "lab_services"
# Their parts start one another as programs, or read one another as files.
_WHOLE = re.compile(rf"{PACKAGE}\.(?:stack|traffic|(?:patterns|labs)\.\w+\.\w+)")
_ALL = "*"  # the object itself is used: whatever it holds may be
_UNREAD = {"__pycache__", ".ipynb_checkpoints"}
# In what is not Python: `MODULE:app`, `-m MODULE`, and imports in a template or a patch.
_NAMED = re.compile(rf"(?<![\w.]){PACKAGE}(?:\.\w+)+(?::\w+)?")
_IMPORT = re.compile(rf"\bfrom\s+({PACKAGE}[\w.]*)\s+import\s+\(?([\w\s,]+)")
_LAB = re.compile(r"([a-z]+)/([a-z0-9-]+)")
# A Compose file's bind mounts; `${NAME:-./folder}` too.
_PLACE = re.compile(r"(?<![\w./}])\.\.?(?:/[\w.-]+)+")


@dataclass(frozen=True)
class Source:
    """What one piece of code says; every path is dotted and absolute (`lab_services.report.P99`).

    `bound` holds what its own imports call a name, for those who ask this module for it. Of a lazy
    face, `defined` are its own names, and `offered` is what it imports only when asked: None where
    it is no such face.
    """

    used: frozenset[str]
    bound: dict[str, frozenset[str]]
    defined: frozenset[str] = frozenset()
    offered: dict[str, frozenset[str]] | None = None


_NOTHING = Source(frozenset(), {})


@cache
def read(code: bytes | str, module: str, is_package: bool, where: str) -> Source:
    """What a module imports, at its head or later. Raises LabError, which names `where`."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as error:  # ValueError: half a character
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise LabError(
            f"{where}{line} is not Python: {said}.", "Mend it: what it imports cannot be known."
        ) from None
    return _Reader(module, is_package, tree).source()


class Closure:
    """The files below `root` that code leads to; `files` are relative to it.

    Every method raises LabError for a file that cannot be read or is not Python.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: set[Path] = set()
        self._modules: dict[str, Source | None] = {}
        self._followed: set[str] = set()
        self._pending: list[str] = []

    def follow(self, paths: Iterable[str]) -> None:
        """Go where dotted paths lead: to modules, to names in them, and on from there."""
        self._pending += paths
        while self._pending:
            path = self._pending.pop()
            if path not in self._followed:
                self._followed.add(path)
                self._follow(path.split("."))

    def _follow(self, names: list[str]) -> None:
        module, source = "", _NOTHING
        for place, name in enumerate(names):
            inner = f"{module}.{name}" if module else name
            if (found := self._enter(inner)) is not None:
                module, source = inner, found
                continue
            offered = source.offered or {}
            if leads := offered.get(name, source.bound.get(name)):
                rest = names[place + 1 :]
                self._pending += (".".join((each, *rest)) for each in leads)
            elif name not in source.defined:
                self._pending += frozenset().union(*offered.values())
            return

    def _enter(self, module: str) -> Source | None:
        """Note a module's file, and its whole folder where that belongs together.

        None when there is no such module.
        """
        if module not in self._modules:
            place = self.root.joinpath(*module.split("."))
            is_package = place.is_dir()
            file = place / "__init__.py" if is_package else place.with_suffix(".py")
            there = file.is_file()
            self._modules[module] = self._add(file) if there else _NOTHING if is_package else None
            if is_package and _WHOLE.fullmatch(module):
                self._add_folder(place)
        return self._modules[module]

    def _add_folder(self, folder: Path) -> None:
        for file in sorted(folder.rglob("*")):
            unread = _UNREAD.intersection(file.parts) or file.stem.lower() == "readme"
            if file.is_file() and not unread:
                self._add(file)

    def _add(self, file: Path) -> Source:
        relative = file.relative_to(self.root)
        content = contents(file)
        if file.suffix == ".py":
            is_package = file.name == "__init__.py"
            parts = relative.with_suffix("").parts
            module = ".".join(parts[:-1] if is_package else parts)
            source = read(content, module, is_package, relative.as_posix())
            if (stub := file.with_suffix(".pyi")).is_file():
                source = self._face(source, stub, module)
        else:
            source = _text(content)
        if relative not in self.files:
            self.files.add(relative)
            self._pending += source.used
            if file.suffix in (".yaml", ".yml"):
                self._add_mounted(file, content.decode(errors="ignore"))
        return source

    def _face(self, source: Source, stub: Path, module: str) -> Source:
        """The module of a lazy face, with what its stub says that it offers."""
        relative = stub.relative_to(self.root)
        self.files.add(relative)
        said = read(contents(stub), module, True, relative.as_posix())
        return replace(source, offered=said.bound)

    def _add_mounted(self, compose: Path, text: str) -> None:
        for match in _PLACE.finditer(text):
            place = Path(os.path.normpath(compose.parent / match[0]))
            # Not its own folder, nor those above it: the context of the image's build.
            if place.is_relative_to(self.root) and not compose.is_relative_to(place):
                if place.is_dir():
                    self._add_folder(place)
                elif place.is_file():
                    self._add(place)


def contents(file: Path) -> bytes:
    """What is in a file. Raises LabError when it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise LabError(
            f"{file} cannot be read: {error.strerror}.", "Run `lab` from a whole checkout."
        ) from None


@cache
def _text(content: bytes) -> Source:
    return Source(frozenset(_named(content.decode(errors="ignore"))), {})


def _named(text: str) -> Iterator[str]:
    """What a text, or a string in Python, names of this package."""
    if lab := _LAB.fullmatch(text):  # `Stack("serving/web-single")`
        yield ".".join((PACKAGE, "patterns", lab[1], lab[2].replace("-", "_")))
    if PACKAGE not in text:
        return
    for match in _NAMED.finditer(text):
        yield match[0].replace(":", ".")
    for match in _IMPORT.finditer(text):
        yield from (f"{match[1]}.{name.split()[0]}" for name in match[2].split(",") if name.strip())


_HOLDS_IMPORTS = (ast.stmt, ast.excepthandler, ast.match_case)


class _Reader(ast.NodeVisitor):
    def __init__(self, module: str, is_package: bool, tree: ast.Module) -> None:
        self.package = module if is_package else module.rpartition(".")[0]
        self.tree = tree
        self.used: set[str] = set()
        self.bound: dict[str, set[str]] = {}

    def source(self) -> Source:
        # Names are met before, between and after their imports: first the imports, then their use.
        self._imports(self.tree)
        self.visit(self.tree)
        return Source(
            frozenset(self.used),
            {name: frozenset(paths) for name, paths in self.bound.items()},
            frozenset(_defined(self.tree)),
        )

    def _imports(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, _HOLDS_IMPORTS):
                continue
            if _is_for_types(child):
                for each in child.orelse:  # the body is never executed
                    self._imported(each)
                    self._imports(each)
            else:
                self._imported(child)
                self._imports(child)

    def _imported(self, node: ast.AST) -> None:
        found: list[tuple[str, str]] = []  # what a name stands for
        used: list[str] = []
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                found.append((alias.asname, alias.name) if alias.asname else (first, first))
                used.append(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            if node.level:
                above = self.package.split(".")
                base = [*above[: len(above) - node.level + 1], *base]
            for alias in node.names:
                path = ".".join((*base, alias.name))
                found.append((alias.asname or alias.name, path))
                used.append(path)
        for name, path in found:
            if _is_ours(path):
                self.bound.setdefault(name, set()).add(path)
        self.used.update(filter(_is_ours, used))

    def visit_If(self, node: ast.If) -> None:
        if _is_for_types(node):
            for each in node.orelse:
                self.visit(each)
        else:
            self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        names: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            names.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            self._use(inner.id, names)
        else:
            self.visit(inner)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._use(node.id, [_ALL])

    def _use(self, name: str, names: list[str]) -> None:
        self.used.update(".".join((path, *names)) for path in self.bound.get(name, ()))

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring speaks of modules
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.used.update(_named(node.value))


def _is_ours(path: str) -> bool:
    return path == PACKAGE or path.startswith(f"{PACKAGE}.")


def _is_for_types(node: ast.AST) -> TypeGuard[ast.If]:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return (test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")) == (
        "TYPE_CHECKING"
    )


def _defined(tree: ast.Module) -> Iterator[str]:
    """The names that a module's own code gives a value at its top."""
    yield from ("__all__", "__doc__", "__file__", "__name__", "__path__")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
