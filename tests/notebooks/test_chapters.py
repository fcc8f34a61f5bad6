"""What every chapter consists of: three files that carry its name, each with all its parts."""

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from lab_services import paths
from lab_services.runs.notebook_file import LIVE
from lab_services.stack import catalogue, compose

ROOT = paths.repository()
# In this order; between them stands whatever the chapter needs.
LAB = [
    "Parameters",
    "Start the stack",
    "Predict",
    "Measure",
    "Claims",
    "Exercises",
    "Stop the stack",
]
PAGE = [
    *("The problem", "The pattern", "What was measured", "When to use it, and when not"),
    *("What it costs", "In production", "Related patterns", "Exercises", "Sources"),
]


def names(folder: str, ending: str) -> set[str]:
    found = (ROOT / folder).glob(f"*/*.{ending}")
    return {
        f"{file.parent.name}/{file.stem}" for file in found if ".ipynb_checkpoints" not in str(file)
    }


CHAPTERS = sorted(names("labs", "ipynb") | names("book", "md") | set(catalogue.labs()))
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS)


def headings(text: str, level: int) -> list[str]:
    prose = re.sub(r"^(`{3,}|:{3,}).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(rf"^{'#' * level} (.+)$", prose, flags=re.MULTILINE)


def in_order(wanted: list[str], found: list[str]) -> bool:
    rest = iter(found)
    return all(any(each.startswith(part) for each in rest) for part in wanted)


def notebook(chapter: str) -> Any:
    return nbformat.read(ROOT / f"labs/{chapter}.ipynb", as_version=4)


def tagged(chapter: str, tag: str) -> list[str]:
    return [c.source for c in notebook(chapter).cells if tag in c.metadata.get("tags", ())]


def stated(code: str) -> list[ast.Call]:
    """The calls that state claims."""
    kinds = ("measured", "computed", "replayed")
    return [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in kinds
        and ast.unparse(node.func.value) == "claims"
    ]


def cannot_lose(call: ast.Call) -> str:
    """Why a claim that is stated by this call is bound to hold somewhere; nothing where it is not.

    What the library refuses needs no word here: each notebook is run.
    """
    bounds = {word.arg: word.value for word in call.keywords if word.arg != "rival"}
    if open_ended := [name for name, value in bounds.items() if not typed(value)]:
        return f"{open_ended}: a bound that is worked out is another one on each machine"
    ends = [
        ast.unparse(node)
        for node in ast.walk(call)
        if isinstance(node, ast.Attribute) and node.attr in ("value", "low", "high")
    ]
    return f"{ends}: an end of an interval is taken as exact" if ends else ""


def typed(value: ast.expr) -> bool:
    """Whether it is numbers and nothing else: `0.3`, `1 / 3`, `(0.5, 2)`."""
    numbers = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.Tuple)
    parts = [value, *ast.walk(value)]
    return all(isinstance(p, (*numbers, ast.operator, ast.unaryop, ast.Load)) for p in parts)


def called(code: str, name: str) -> list[ast.Call]:
    """The calls of a function."""
    return [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name
    ]


def predicted(cells: list[Any]) -> list[Any]:
    """The cells of the section in which the reader guesses."""
    heads = [n for n, c in enumerate(cells) if c.cell_type == "markdown" and headings(c.source, 2)]
    begin = next(n for n in heads if headings(cells[n].source, 2)[0].startswith("Predict"))
    return cells[begin : next(n for n in heads if n > begin)]


def unanswered(asked: str, after: list[str]) -> list[str]:
    """The guesses of a cell that the later ones do not show beside what came, once each."""
    names = [
        ast.unparse(node.targets[0])
        for node in ast.parse(asked).body
        if isinstance(node, ast.Assign) and called(ast.unparse(node.value), "Guess")
    ]
    if len(names) < len(called(asked, "Guess")):
        return ["a guess without a name"]
    return [n for n in names if sum(len(called(code, f"{n}.outcome")) for code in after) != 1]


@every_chapter
def test_a_chapter_is_a_page_a_lab_and_a_stack(chapter: str) -> None:
    """A page without its lab, a lab without its page, a stack that nobody explains."""
    assert chapter in names("labs", "ipynb"), f"labs/{chapter}.ipynb is missing"
    assert chapter in names("book", "md"), f"book/{chapter}.md is missing"
    assert chapter in catalogue.labs(), f"the Compose file of {chapter} is missing"
    listed = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    entries = [entry for part in listed for entry in part["chapters"]]
    assert {
        "file": f"book/{chapter}",
        "sections": [{"file": f"labs/{chapter}"}],
    } in entries, f"_toc.yml does not list book/{chapter} with labs/{chapter} below it"


@every_chapter
def test_the_lab_has_its_parts(chapter: str) -> None:
    """A lab that measures before the reader has guessed, or checks nothing."""
    text = "\n".join(c.source for c in notebook(chapter).cells if c.cell_type == "markdown")
    assert in_order(LAB, headings(text, 2)), f"the sections of the lab: {headings(text, 2)}"
    assert headings(text, 2)[-1] == "Stop the stack"
    assert re.search(r"^### Explain", text, re.MULTILINE) or "Explain" in headings(text, 2)
    assert "**Takes**" in text and "**Needs**" in text


@every_chapter
def test_the_lab_can_be_run_short_and_compared(chapter: str) -> None:
    """A lab too long for every change, or whose two runtimes are never compared."""
    parameters = tagged(chapter, "parameters")
    assert len(parameters) == 1 and re.search(r'^runtime = "auto"$', parameters[0], re.MULTILINE)
    lengths = notebook(chapter).metadata["lab_services"]
    assert set(lengths) == {"short", "shortest"}
    for name in {**lengths["short"], **lengths["shortest"]}:
        assert re.search(rf"^{name} = ", parameters[0], re.MULTILINE), f"no parameter {name}"
    # What starts the stack needs more than the notebook; what judges needs no more than that.
    assert any("Stack(" in source for source in tagged(chapter, LIVE))
    assert not any(re.search(r"\bclaims\b", source) for source in tagged(chapter, LIVE))
    (verdicts,) = tagged(chapter, "nbval-check-output")
    assert verdicts.rstrip().endswith("claims.verdicts()")
    assert any("claims.check()" in cell.source for cell in notebook(chapter).cells)


@every_chapter
def test_the_lab_measures(chapter: str) -> None:
    """A lab without a sweep, without a fault, or without statements that can fail."""
    code = "\n".join(c.source for c in notebook(chapter).cells if c.cell_type == "code")
    assert "charts.sweep(" in code
    assert re.search(
        r"stack\.(kill|pause|inject_delay|inject_errors|partition|limit_cpu|rollout)\b", code
    ), "nothing is broken"
    assert len(stated(code)) >= 3


@every_chapter
def test_each_claim_can_lose(chapter: str) -> None:
    """A bound that follows what was measured; a value, a bound or a rival without its interval."""
    cells = [cell.source for cell in notebook(chapter).cells if cell.cell_type == "code"]
    for call in (call for cell in cells for call in stated(cell)):
        assert not (why := cannot_lose(call)), f"{ast.unparse(call)}\n{why}"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("report.ratio(a, b, P50), at_least=2", ""),
        ("gain, between=(1 / 3, 3)", ""),
        ("gain, at_least=-0.05", ""),
        ("gain.value, at_least=2", "gain.value"),
        ("gain, at_least=1.3 * theory", "at_least"),
        ("gain, between=(0, len(jobs))", "between"),
        ("gain, at_least=2, rival=('it is slow', other.high)", "other.high"),
    ],
)
def test_a_claim_that_cannot_lose_is_found(words: str, why: str) -> None:
    """A rule that no notebook can break."""
    (call,) = stated(f"claims.measured('it gains', {words})")
    assert why in cannot_lose(call) and bool(why) == bool(cannot_lose(call))


@every_chapter
def test_no_guess_without_its_outcome(chapter: str) -> None:
    """A reader who has guessed, and never learns what came, or what speaks against the reason."""
    cells = notebook(chapter).cells
    section = predicted(cells)
    asked = [cell for cell in section if cell.cell_type == "code"]
    assert asked and all(called(cell.source, "Guess") for cell in asked), "Guess(…)"
    for cell in asked:
        after = [c.source for c in cells[cells.index(cell) + 1 :] if c.cell_type == "code"]
        assert not unanswered(cell.source, after), "not shown again beside what came"
    # The questions stand in the guesses; a second wording of them is another question.
    listed = [
        c.source for c in section if c.cell_type == "markdown" if re.search("^1. ", c.source, re.M)
    ]
    assert not listed, listed


@pytest.mark.parametrize(
    ("asked", "after", "left"),
    [
        ("gain = Guess('How much?')", ["gain.outcome(a, because)"], []),
        ("gain = Guess('How much?')", ["show(gain)"], ["gain"]),
        ("gain = Guess('?')\nloss = Guess('?')", ["gain.outcome(a, b)"], ["loss"]),
        ("gain = Guess('?')", ["gain.outcome(a, b)", "gain.outcome(c, b)"], ["gain"]),
        ("Guess('How much?')", ["show(a)"], ["a guess without a name"]),
    ],
)
def test_a_guess_without_its_outcome_is_found(asked: str, after: list[str], left: str) -> None:
    """A rule that no notebook can break."""
    assert unanswered(asked, after) == left


@every_chapter
def test_each_exercise_says_how_hard_it_is_and_why_an_answer_is_wrong(chapter: str) -> None:
    """A typical mistake to which a reader is told no more than that it is one."""
    code = "\n".join(c.source for c in notebook(chapter).cells if c.cell_type == "code")
    calls = called(code, "Exercise")
    whole = [c for c in calls if {"level", "minutes", "wrong"} <= {w.arg for w in c.keywords}]
    assert whole == calls


@every_chapter
def test_the_lab_has_exercises_with_hidden_solutions(chapter: str) -> None:
    """An exercise whose check was never shown right and wrong answers."""
    solutions = [
        cell
        for cell in notebook(chapter).cells
        if {"solution", "hide-cell"} <= set(cell.metadata.get("tags", ()))
    ]
    assert len(solutions) >= 2
    for cell in solutions:
        assert ".prove(" in cell.source
        assert cell.metadata["jupyter"]["source_hidden"] is True


@every_chapter
def test_the_page_has_its_parts(chapter: str) -> None:
    """A page that praises the pattern and forgets what it costs."""
    text = (ROOT / f"book/{chapter}.md").read_text()
    assert in_order(PAGE, headings(text, 2)), f"the sections of the page: {headings(text, 2)}"
    for part in ("topology", "run-info", "figure-from-run"):
        assert f"{{{part}}} {chapter}" in text, f"no {part}"
    assert f"{{measured}}`{chapter}:" in text
    assert "literalinclude}" in text, "the code that is the pattern"
    assert f"{{doc}}`lab </labs/{chapter}>`" in " ".join(text.split())


@every_chapter
def test_the_stack_is_closed(chapter: str) -> None:
    """A service that runs with more rights than it needs, or on another image."""
    file: Path = catalogue.compose_path(chapter)
    topology = compose.read(file, {"LAB_MODELS": "/models"})
    written = yaml.safe_load(file.read_text())["services"]
    for name in topology.services:
        stated = written[name]
        assert stated["image"] == "${LAB_IMAGE:-lab-services}", name
        assert stated["user"] == "10001:10001", name
        assert stated["cap_drop"] == ["ALL"], name
        assert stated["security_opt"] == ["no-new-privileges:true"], name
