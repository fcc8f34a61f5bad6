"""What roles and directives share: the kept run that a page asks, and the warning without it."""

from datetime import datetime
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from lab_services.book.sources import RUNS
from lab_services.errors import LabError
from lab_services.runs.notebook import Length
from lab_services.runs.run import FILE, Run

PLACES = {"docker": "in containers", "process": "as plain processes"}
# What a page says of a run that measured less than the lab's own parameters ask for.
LESS = {Length.FULL: "", Length.SHORT: "a short run", Length.SHORTEST: "the shortest run"}
_log = logging.getLogger(__name__)


class NotMeasured(LabError):
    """The lab did not come to its end on this machine, so its pages have gaps."""


class FromRun(SphinxDirective):
    """A directive whose LabError becomes a warning at its line; with the argument it asks for.

    Of a lab that did not come to its end it says so instead, and warns of nothing.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        try:
            return self.made()
        except NotMeasured as error:
            return [gap(error)]
        except LabError as error:
            return [missing(error, self.get_source_info(), self.block_text)]

    def made(self) -> list[nodes.Node]:
        """What stands in the page."""
        raise NotImplementedError


def shown_run(asking: SphinxDirective | SphinxRole, lab: str) -> Run:
    """The run that the book shows of a lab, also one in which a cell fails. Raises LabError."""
    folder = Path(asking.env.srcdir) / RUNS / lab
    run = Run.load(folder)
    asking.env.note_dependency(str(folder / FILE))
    return run


def kept(asking: SphinxDirective | SphinxRole, lab: str) -> Run:
    """The run that the book shows of a lab. Raises LabError; NotMeasured where a cell fails."""
    run = shown_run(asking, lab)
    if run.failed:
        raise NotMeasured(why_not(run))
    return run


def asked(asking: SphinxDirective | SphinxRole, text: str) -> tuple[Run, str]:
    """The run and the name in `group/slug:name`. As `kept` raises."""
    lab, name = named(text)
    return kept(asking, lab), name


def named(text: str) -> tuple[str, str]:
    """The lab and the name in `group/slug:name`. Raises LabError."""
    lab, colon, name = text.partition(":")
    if not colon or not name:
        raise LabError(f"{text!r} names nothing in a run: write group/slug:name.")
    return lab, name


def missing(error: LabError, place: tuple[str, int], text: str) -> nodes.Node:
    """The warning, and the request itself in the page, for those who look at it nevertheless."""
    source, line = place
    _log.warning("%s", error, location=f"{source}:{line}", type="lab", subtype="run")
    return nodes.literal(text, text)


def gap(error: NotMeasured) -> nodes.Node:
    """A paragraph in the place of what was not measured."""
    return nodes.paragraph("", str(error), classes=["run-info", "not-measured"])


def why_not(run: Run) -> str:
    """Where a run ended before its end, and of what."""
    where, *_ = run.failed.splitlines()
    return f"Not measured: the lab did not come to its end on {machine(run)}. {where}"


def provenance(run: Run) -> str:
    """`measured on 22 November 2026 on a Xeon with 2 cores, in containers`."""
    return f"measured on {day(run)} on {machine(run)}, {PLACES[run.runtime]}"


def day(run: Run) -> str:
    """`22 November 2026`."""
    when = datetime.fromisoformat(run.data["when"])
    return f"{when.day} {when:%B %Y}"


def machine(run: Run) -> str:
    """`Intel(R) Xeon(R) Processor (2 cores)`."""
    found: dict[str, Any] = run.data["machine"]
    return f"{found['processor']} ({found['cores']} cores)"
