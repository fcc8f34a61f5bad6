"""Rates and times of traffic that are typed, which another machine may not bear, or not feel."""

import ast
import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab_services import paths
from tests.notebooks.test_chapters import CHAPTERS, notebook

SCHEDULES = ("poisson", "constant", "ramp", "steps", "bursts")
# They make no measurement of what they are given.
PLAIN = {"len", "min", "max", "sum", "round", "float", "int", "sorted", "range"}
# Labs with traffic of which a rate or a length is typed still. None is to come; a lab that is
# mended leaves the list.
UNSCALED = {
    "qa/loading-test": 6,
    "qa/online-ab-test": 1,
    "qa/shadow-ab-test": 2,
    "serving/all-in-one": 1,
    "serving/asynchronous": 6,
    "serving/batch": 2,
    "serving/edge-prediction": 11,
    "serving/microservice-vertical": 10,
    "serving/multiple-stage-prediction": 2,
    "serving/prediction-cache": 11,
    "serving/prep-pred": 2,
    "serving/serving-template": 3,
    "training/batch-training": 2,
}


def unscaled(code: str) -> list[str]:
    """The rates and seconds of schedules and closed loops that come from typed numbers alone."""
    tree = ast.parse(code)
    typed = set(PLAIN)
    for name, value in _bound(tree):
        (typed.add if _is_typed(value, typed) else typed.discard)(name)
    return [
        f"{ast.unparse(call.func)}: {ast.unparse(part)}"
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for part in _asked(call)
        if _is_typed(part, typed)
    ]


def _asked(call: ast.Call) -> Iterator[ast.expr]:
    """What a call says of how fast and how long."""
    if not (isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "traffic"):
        return
    keywords = [k.value for k in call.keywords if k.arg not in ("seed", "title")]
    if call.func.attr in SCHEDULES:
        for part in [*call.args, *keywords]:
            pairs = part.elts if isinstance(part, ast.List) else [part]
            for pair in pairs:
                yield from pair.elts if isinstance(pair, ast.Tuple) else [pair]
    elif call.func.attr == "closed_loop":
        yield from [k.value for k in call.keywords if k.arg == "seconds"]
        yield from call.args[2:]


def _bound(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Each name with what it is given, in the order of the text."""
    found: list[tuple[int, Any, ast.expr]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            found += [(node.lineno, target, node.value) for target in node.targets]
        elif isinstance(node, ast.For):
            found.append((node.lineno, node.target, node.iter))
    for _, target, value in sorted(found, key=lambda each: each[0]):
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            yield from ((ast.unparse(t), v) for t, v in zip(target.elts, value.elts, strict=False))
        else:
            yield from ((ast.unparse(t), value) for t in getattr(target, "elts", [target]))


def _is_typed(value: ast.expr, typed: set[str]) -> bool:
    """Whether nothing that was measured is in it."""
    parts = list(ast.walk(value))
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    return names <= typed and not any(isinstance(part, ast.Attribute) for part in parts)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("traffic.poisson(150, 24)", 2),
        ("rate = 150\nlasts = 2 * rate\ntraffic.constant(rate, lasts)", 2),
        ("for load in [0.3, 2]:\n    traffic.poisson(load * scale.rate(1), lasts(load))", 0),
        ("a, b = 3, busy.value\ntraffic.steps([(a, b), (b, 2 * a)], seed=1)", 2),
        ("traffic.closed_loop(asked, 4, seconds=3)\ntraffic.closed_loop(asked, 4, count=3)", 1),
        ("scale = Scale.of(asked)\ntraffic.poisson(scale.rate(0.5), scale.seconds(300, 0.5))", 0),
        ("traffic.poisson(16 * len(streams), deadline)", 0),
    ],
)
def test_what_is_typed_is_found(code: str, found: int) -> None:
    """A number that hides behind a name; a share of the capacity taken for a number."""
    assert len(unscaled(code)) == found, unscaled(code)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_traffic_is_stated_in_what_the_machine_can_do(chapter: str) -> None:
    """A lab whose answer is that of its author's machine."""
    code = "\n".join(cell.source for cell in notebook(chapter).cells if cell.cell_type == "code")
    found = unscaled(code)
    assert len(found) == UNSCALED.get(chapter, 0), found


def test_a_new_chapter_is_stated_so() -> None:
    """A template that everybody copies, with the seconds of its author's machine."""
    file = paths.repository() / "lab_services/command/chapter/lab.ipynb.template"
    cells = json.loads(file.read_text())["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    assert "Scale.of" in code and unscaled(code) == []
