"""What a lab's live cells have measured, stored and put back, so that the others run over it again.

A cell with the tag `live` asks what is outside of the notebook: the stack, its services, the clock,
the processor. After each of them the kernel stores the values of the names that it has used. A
replay executes all other cells anew, over those values: in seconds, without a stack, and with the
numbers of that very run. So a change of statistics, charts or claims is tried on real data.

Values are stored by pickle, which runs code when it is read: replay no run that you do not trust.
"""

import ast
import copy
import dis
import gzip
import json
import os
import pickle
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_services.runs.notebook_file import LIVE

if TYPE_CHECKING:
    from nbformat import NotebookNode

# The folder of a run in which its values are, one file for each live cell.
FOLDER = "recorded"
# The environment variable that tells a kernel where to store them.
VARIABLE = "LAB_RECORD"
_DEFINED = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# What a replay defines anew, or cannot need.
_NOT_STORED = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)


def live(notebook: "NotebookNode") -> list["NotebookNode"]:
    """The cells with the tag, in their order."""
    return [cell for cell in notebook["cells"] if LIVE in cell["metadata"].get("tags", [])]


def begin() -> None:
    """In a kernel at its start: store what live cells measure, if the environment asks for it."""
    if VARIABLE in os.environ:
        from IPython import get_ipython

        notebook, folder = json.loads(os.environ[VARIABLE])
        # Not by nbformat, whose import takes longer than all of this.
        cells = live(json.loads(Path(notebook).read_bytes()))
        _record(get_ipython(), ["".join(cell["source"]) for cell in cells], Path(folder))


def _record(shell: Any, sources: list[str], folder: Path) -> None:
    """From now on store after each of these cells what it has used; not where it fails."""
    waiting = list(enumerate(sources))

    def after(result: Any) -> None:
        if waiting and result.success and result.info.raw_cell == waiting[0][1]:
            place, source = waiting.pop(0)
            names = _used(shell.transform_cell(source), shell.user_ns)
            _store({name: shell.user_ns[name] for name in names}, file_of(folder, place))

    shell.events.register("post_run_cell", after)


def file_of(folder: Path, place: int) -> Path:
    """Where in `folder` the values of a live cell are, by its place among the live ones, from 0."""
    return folder / f"{place}.pickle.gz"


def restore(file: str | Path, namespace: dict[str, Any]) -> None:
    """Put back the values of one live cell; of a value that could not be stored no older one."""
    with gzip.open(file) as stored:
        values, lost = pickle.load(stored)
    namespace.update(values)
    for name in lost:
        namespace.pop(name, None)


def prepared(notebook: "NotebookNode", folder: Path) -> "NotebookNode":
    """The notebook with live cells that put back what they have measured.

    Their imports, classes and functions stay.
    """
    made = copy.deepcopy(notebook)
    for place, cell in enumerate(live(made)):
        cell.source = _putting_back(cell.source, file_of(folder, place))
    return made


def _putting_back(source: str, file: Path) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    tree = ast.parse(TransformerManager().transform_cell(source))  # type: ignore[no-untyped-call]
    defined = [each for each in tree.body if isinstance(each, _DEFINED)]
    # Values are made of classes and functions, so these come first; but not the functions whose
    # defaults are such values.
    first = [ast.unparse(each) for each in defined if not _takes_values(each)]
    last = [ast.unparse(each) for each in defined if _takes_values(each)]
    load = f"__import__({__name__!r}, fromlist=['_']).restore({str(file)!r}, globals())"
    return "\n".join([*first, load, *last])


def _takes_values(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    defaults = [*statement.args.defaults, *filter(None, statement.args.kw_defaults)]
    return any(
        not isinstance(each, ast.Constant) for each in (*defaults, *statement.decorator_list)
    )


def _used(code: str, namespace: Mapping[str, Any]) -> set[str]:
    """The names of values that code uses or makes, in functions of the notebook as well."""
    found: set[str] = set()
    pending = [node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen or name not in namespace:
            continue
        seen.add(name)
        value = namespace[name]
        if isinstance(value, types.FunctionType) and value.__globals__ is namespace:
            pending += _names(value.__code__)
        elif not isinstance(value, _NOT_STORED):
            found.add(name)
    return found


def _names(code: types.CodeType) -> Iterator[str]:
    yield from (
        str(each.argval) for each in dis.get_instructions(code) if each.opname == "LOAD_GLOBAL"
    )
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _store(values: dict[str, Any], file: Path) -> None:
    # What cannot be stored is a stack, a connection, a thread: a replay has none.
    kept = {name: value for name, value in values.items() if _can_be_stored(value)}
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(file, "wb", compresslevel=1) as stored:
        pickle.dump((kept, sorted(values.keys() - kept.keys())), stored)


def _can_be_stored(value: Any) -> bool:
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:  # noqa: BLE001 - whatever a value's own code raises says no
        return False
    return True
