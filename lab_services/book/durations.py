"""Sphinx: how long a lab takes, for those who plan a lesson with it.

- `` {lab-takes}`serving/web-single` `` is what the lab itself says, exercises and all
- `` {lab-seconds}`serving/web-single` `` is the machine time of the kept run
- `{lab-sections} serving/web-single` is a table of the machine time of each section of the lab
"""

import re
from collections.abc import Callable
from pathlib import Path

from docutils import nodes
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from lab_services.book import html_nodes
from lab_services.book.from_run import LESS, FromRun, NotMeasured, kept, missing, provenance
from lab_services.errors import LabError
from lab_services.report import numbers
from lab_services.runs.notebook import numbered, read

_TAKES = re.compile(r"\*\*Takes\*\*\s+(.+?)\.\s+\*\*Needs\*\*", re.DOTALL)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


def setup(app: Sphinx) -> None:
    """Register roles and directive."""
    app.add_role("lab-takes", Told(takes))
    app.add_role("lab-seconds", Told(seconds))
    app.add_directive("lab-sections", LabSections)


class Told(SphinxRole):
    """A text about a lab."""

    def __init__(self, tell: Callable[[SphinxRole, str], str]) -> None:
        super().__init__()
        self._tell = tell

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            return [nodes.Text(self._tell(self, self.text))], []
        except NotMeasured:
            return [nodes.Text(numbers.UNKNOWN)], []
        except LabError as error:
            return [missing(error, self.get_source_info(), self.rawtext)], []


class LabSections(FromRun):
    """Where the machine works, and where only the learner does."""

    def made(self) -> list[nodes.Node]:
        run = kept(self, self.arguments[0])
        rows = [(heading, _whole(time)) for heading, time in sections(self, run.lab) if time >= 1]
        told = f"Machine time of the lab's sections, {provenance(run)}; the others take no second."
        if less := LESS[run.length]:
            told += f" It was {less}: with the lab's own parameters they take longer."
        return [
            html_nodes.table(("Section", "Machine"), rows, "colwidths-auto"),
            nodes.paragraph("", told, classes=["run-info"]),
        ]


def takes(asking: SphinxRole, lab: str) -> str:
    """What the lab says of itself. Raises LabError where it says nothing."""
    # Papermill puts a message before the first cell of a notebook in which one fails.
    first = next((cell.source for _, cell in numbered(_read(asking, lab))), "")
    told = _TAKES.search(first)
    if told is None:
        raise LabError(f"labs/{lab}.ipynb does not say what it takes.")
    return " ".join(told[1].split())


def seconds(asking: SphinxRole, lab: str) -> str:
    """The kept run's machine time, and whether that run was a shorter one."""
    run = kept(asking, lab)
    told = _whole(float(run.data["seconds"]))
    return f"{told} in {LESS[run.length]}" if LESS[run.length] else told


def sections(asking: SphinxDirective | SphinxRole, lab: str) -> list[tuple[str, float]]:
    """Each section's heading and the seconds that its cells took. Raises LabError."""
    found: list[tuple[str, float]] = []
    for cell in _read(asking, lab).cells:
        if cell.cell_type == "markdown":
            found += [(heading, 0.0) for heading in _HEADING.findall(cell.source)]
        elif found:
            heading, before = found[-1]
            took = cell.metadata.get("papermill", {}).get("duration") or 0.0
            found[-1] = (heading, before + took)
    if not any(took for _, took in found):
        raise LabError(f"labs/{lab}.ipynb has not been run: it has no times.")
    return found


def _whole(time: float) -> str:
    return f"{time:.0f} s"


def _read(asking: SphinxDirective | SphinxRole, lab: str) -> NotebookNode:
    file = Path(asking.env.srcdir) / "labs" / f"{lab}.ipynb"
    # Also of a file that is not there: the page is read again when it has come.
    asking.env.note_dependency(str(file))
    if not file.is_file():
        raise LabError(f"There is no lab {lab}.")
    return read(file)
