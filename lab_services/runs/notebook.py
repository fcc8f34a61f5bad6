"""What a lab's notebook holds: its parameters, and after a run the numbers, figures and claims."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from lab_services import paths
from lab_services.errors import LabError
from lab_services.report import claims, exercise, guess, measurements
from lab_services.runs import notebook_file

# Cells that papermill adds; they do not count when a cell is named by its number.
_ADDED = {"injected-parameters", "papermill-error-cell-tag"}


class Length(StrEnum):
    """How much of a lab is measured: which of its parameters a run sets.

    `FULL` has the lab's own, as a reader meets them. `SHORT` is enough to judge the claims by.
    `SHORTEST` is enough to execute each cell and keep each name; its claims are recorded and not
    judged.
    """

    FULL = "full"
    SHORT = "short"
    SHORTEST = "shortest"


def read(file: Path) -> NotebookNode:
    """The notebook in a file, with all that it holds. Raises LabError when it is none."""
    notebook_file.read(file)
    return nbformat.read(file, as_version=4)  # type: ignore[no-any-return, no-untyped-call]


@dataclass(frozen=True)
class Lab:
    """A lab by its slug (`serving/web-single`) and its notebook."""

    slug: str
    path: Path

    @classmethod
    def find(cls, lab: str | Path) -> "Lab":
        """A lab of the book by slug, or any notebook by path. Raises LabError."""
        if str(lab).endswith(".ipynb"):
            path = Path(lab).absolute()
            inside = path.parts[-2] if path.parent.parent.name == "labs" else ""
            slug = f"{inside}/{path.stem}" if inside else path.stem
        else:
            slug = str(lab)
            path = paths.repository() / "labs" / f"{slug}.ipynb"
        if not path.is_file():
            raise LabError(f"There is no notebook {path.name} in {path.parent}.")
        return cls(slug, path)

    def read(self) -> NotebookNode:
        """The notebook as it is committed. Raises LabError when it is none."""
        try:
            notebook = read(self.path)
            nbformat.validate(notebook)
        except nbformat.ValidationError as error:
            raise LabError(
                f"{self.path} is no notebook: {error.message}.", "Save it once in JupyterLab."
            ) from error
        kernel = notebook.metadata.get("kernelspec", {})
        language = notebook.metadata.get("language_info", {}).get("name", kernel.get("language"))
        if not kernel or language != "python":
            raise LabError(f"{self.path} names no Python kernel.", "Save it once in JupyterLab.")
        return notebook

    def parameters(self, length: Length) -> dict[str, Any]:
        """What a run of this length sets, from the notebook's metadata.

        lab_services.short, and for the shortest over it lab_services.shortest. Raises LabError
        where a lab has no short mode.
        """
        if length is Length.FULL:
            return {}
        own = self.read().metadata.get("lab_services", {})
        if "short" not in own:
            raise LabError(
                f"The lab {self.slug} has no short mode.",
                'Put {"lab_services": {"short": {"seconds": 2}}} into the notebook\'s metadata.',
            )
        shortest = own.get("shortest", {}) if length is Length.SHORTEST else {}
        return {**own["short"], **shortest}

    def digest(self) -> str:
        """A hash of the lab's cells and of its pattern's files: a run of another is out of date."""
        told = hashlib.sha256()
        for cell in self.read().cells:
            told.update(json.dumps([cell.cell_type, cell.source]).encode())
        pattern = paths.repository() / "lab_services" / "patterns" / self.slug.replace("-", "_")
        for file in sorted(pattern.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                told.update(file.relative_to(pattern).as_posix().encode())
                told.update(file.read_bytes())
        return told.hexdigest()


@dataclass
class Found:
    """What lies in the outputs of an executed notebook."""

    measurements: dict[str, dict[str, Any]] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    svgs: dict[str, str] = field(default_factory=dict)
    claims: list[dict[str, Any]] = field(default_factory=list)
    exercises: list[dict[str, Any]] = field(default_factory=list)
    guesses: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


def collect(notebook: NotebookNode) -> Found:
    """Numbers, figures, claims, exercises and guesses, each with the number of its cell.

    Raises LabError when one name stands for two numbers or two figures, and when a guess has two
    outcomes.
    """
    found = Found()
    for number, cell in numbered(notebook):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if kept := data.get(measurements.MIME):
                _add(found.measurements, kept, number)
            if shown := data.get(measurements.CHART_MIME):
                _add(found.figures, shown, number)
                found.svgs[shown["name"]] = _svg(data["text/html"])
            if handed := data.get(measurements.FILE_MIME):
                _add(found.files, handed, number)
            if proof := data.get(exercise.MIME):
                found.exercises.append({**proof, "cell": number})
            if compared := data.get(guess.MIME):
                _once(found.guesses, compared, number)
            if settled := data.get(claims.MIME):
                # A table shown twice, before and by check(), counts once, as it was last.
                found.claims = [{**claim, "cell": number} for claim in settled["claims"]]
    return found


def numbered(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """The lab's own cells with their numbers, from 1, as they are in the committed notebook."""
    own = [c for c in notebook.cells if not _ADDED & set(c.metadata.get("tags", []))]
    yield from enumerate(own, start=1)


def leftovers(notebook: NotebookNode) -> list[str]:
    """What a committed lab must not hold: outputs, execution counts, traces of a run."""
    found = ["papermill has written into it"] if "papermill" in notebook.metadata else []
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.get("outputs"):
            found.append(f"cell {number} has outputs")
        if cell.get("execution_count") is not None:
            found.append(f"cell {number} has an execution count")
        if {"execution", "papermill"} & set(cell.metadata):
            found.append(f"cell {number} has execution times")
    return found


def heading_above(notebook: NotebookNode, index: int) -> str:
    """The last heading before the cell at `index`, to say in words where a run is."""
    for cell in reversed(notebook.cells[: index + 1]):
        if cell.cell_type == "markdown":
            titles = re.findall(r"^#+\s+(.+)$", cell.source, re.MULTILINE)
            if titles:
                return str(titles[-1]).strip()
    return ""


def _add(known: dict[str, dict[str, Any]], entry: dict[str, Any], cell: int) -> None:
    name = entry["name"]
    if name in known:
        raise LabError(
            f"The name {name!r} is used twice, in cells {known[name]['cell']} and {cell}.",
            "Pages ask for it by this name: give one of the two another.",
        )
    known[name] = {key: value for key, value in entry.items() if key != "name"} | {"cell": cell}


def _once(known: list[dict[str, Any]], compared: dict[str, Any], cell: int) -> None:
    for other in known:
        if other["question"] == compared["question"]:
            raise LabError(
                f"The guess {compared['question']!r} has two outcomes, in cells {other['cell']} "
                f"and {cell}.",
                "A guess is compared once: ask again with another Guess, or leave one out.",
            )
    known.append({**compared, "cell": cell})


def _svg(page: str) -> str:
    return page[page.index("<svg") : page.index("</svg>") + len("</svg>")] + "\n"
