"""The methods of `Stack` that change it: one for each class of `faults`, made of it.

mypy and editors read them in `changeable.pyi`, which this program writes:

    python -m lab_services.stack.changeable > lab_services/stack/changeable.pyi
"""

import inspect
import sys
import textwrap
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lab_services.stack.faults import CHANGES, Change


class Changeable:
    """The methods of `Stack` that change it."""

    def do(self, change: Change) -> None:
        """Carry out a change; each of the other methods does it with one of its own kind."""
        raise NotImplementedError


def _name(kind: type[Change]) -> str:
    return kind.method or kind.word.replace("-", "_")


def _method(kind: type[Change]) -> Callable[..., None]:
    """The method that takes what the class takes."""

    def method(stack: Changeable, /, *values: Any, **named: Any) -> None:
        stack.do(kind(*values, **named))

    method.__doc__ = kind.__doc__
    method.__name__ = method.__qualname__ = _name(kind)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = inspect.Signature([itself, *_parameters(kind)])
    return method


def _parameters(kind: type[Change]) -> list[inspect.Parameter]:
    """Those of the class, each with its plain type."""
    types = get_type_hints(kind)
    given = inspect.signature(kind).parameters.values()
    return [each.replace(annotation=types[each.name]) for each in given]


for _kind in CHANGES:
    setattr(Changeable, _name(_kind), _method(_kind))


def stub() -> str:
    """What `changeable.pyi` is to hold. Raises TypeError for a type that it cannot write."""
    modules: set[str] = set()
    methods = [
        f"    def do(self, change: Change) -> None:\n{_docstring(Changeable.do, 8)}",
        *(_written_method(kind, modules) for kind in CHANGES),
    ]
    ours = {each for each in modules if each.startswith("lab_services.")}
    lines = [
        "# Written by changeable.py, which says how.",
        "# ruff: noqa: E501 - docstrings stand further in than where they were written",
        "",
        *(f"import {each}" for each in sorted(modules - ours)),
        "",
        *(f"import {each}" for each in sorted(ours)),
        "from lab_services.stack.faults import Change",
        "",
        "class Changeable:",
        _docstring(Changeable, 4),
        "",
        "\n\n".join(methods),
    ]
    return "\n".join([*lines, "", "def stub() -> str: ...", ""])


def _written_method(kind: type[Change], modules: set[str]) -> str:
    taken = ["self"]
    for each in _parameters(kind):
        text = f"{each.name}: {_written(each.annotation, modules)}"
        if each.default is not each.empty:
            plain = each.default is None or isinstance(each.default, str | int | float)
            text += f" = {each.default!r}" if plain else " = ..."
        taken.append(text)
    return f"    def {_name(kind)}({', '.join(taken)}) -> None:\n{_docstring(kind, 8)}"


def _docstring(thing: object, width: int) -> str:
    """Its docstring, for an editor that shows nothing but the stub."""
    first, *others = (inspect.getdoc(thing) or "").splitlines()
    text = "\n".join([f'"""{first}', *others, *(['"""'] if others else [])])
    return textwrap.indent(text if others else f'{text}"""', " " * width)


def _written(kind: Any, modules: set[str]) -> str:
    """A type as the stub writes it; the modules that it takes for that are added to `modules`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in (NoneType, ...):
        return "None" if kind is NoneType else "..."
    if origin is Literal and all(isinstance(each, str | int) for each in arguments):
        modules.add("typing")
        return f"typing.Literal[{', '.join(map(repr, arguments))}]"
    if origin in (Union, UnionType):
        return " | ".join(_written(each, modules) for each in arguments)
    if origin not in (None, Literal):
        inside = ", ".join(_written(each, modules) for each in arguments)
        return f"{_written(origin, modules)}[{inside}]"
    if isinstance(kind, type) and kind.__module__ == "builtins":
        return kind.__qualname__
    # Where all import it from: the Path of Python 3.13 says that it is of pathlib._local.
    module = getattr(kind, "__module__", "").partition("._")[0]
    name = getattr(kind, "__qualname__", "")
    if getattr(sys.modules.get(module), name, None) is not kind:
        raise TypeError(f"A stub cannot be written with the type {kind!r} of a change.")
    modules.add(module)
    return f"{module}.{name}"


if __name__ == "__main__":
    sys.stdout.write(stub())
