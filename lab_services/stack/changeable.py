"""The methods of `Stack` that change it: one for each class of `faults`, made of it.

mypy and editors read them in `changeable.pyi`, which this program writes:

    python -m lab_services.stack.changeable > lab_services/stack/changeable.pyi
"""

import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from typing import Any, get_type_hints

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
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
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
    """What `changeable.pyi` is to hold; mypy says if a type of a change has no place in it."""
    methods = {_name(kind): inspect.signature(_method(kind)) for kind in CHANGES}
    modules = set(re.findall(r"([a-z_][\w.]*)\.[A-Za-z]", " ".join(map(str, methods.values()))))
    written = [
        f"    def {name}{signature} -> None:\n{_docstring(getattr(Changeable, name), 8)}"
        for name, signature in {"do": "(self, change: Change)", **methods}.items()
    ]
    lines = [
        "# Written by changeable.py, which says how.",
        "# ruff: noqa: E501 - docstrings stand further in than where they were written",
        "",
        *(f"import {each}" for each in sorted(modules)),
        "",
        "from lab_services.stack.faults import Change",
        "",
        "class Changeable:",
        _docstring(Changeable, 4),
        "",
        "\n\n".join(written),
    ]
    return "\n".join([*lines, "", "def stub() -> str: ...", ""])


def _docstring(thing: object, width: int) -> str:
    """Its docstring, for an editor that shows nothing but the stub."""
    first, *others = (inspect.getdoc(thing) or "").splitlines()
    text = "\n".join([f'"""{first}', *others, *(['"""'] if others else [])])
    return textwrap.indent(text if others else f'{text}"""', " " * width)


if __name__ == "__main__":
    sys.stdout.write(stub())
