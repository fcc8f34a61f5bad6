"""Sphinx: what a page takes from the kept run of a lab, and from its Compose file.

- ``{measured}`serving/web-single:gain-2` `` is a number with its unit, ``{measured-range}`` its
  interval
- ``{figure-from-run} serving/web-single:rollout`` is a figure; the content is its caption
- ``{claims-from-run} serving/web-single`` is the table of claims with their verdicts
- ``{run-info} serving/web-single`` says when, where and on which runtime it was measured
- ``{topology} serving/web-single`` draws the stack

The build lays the runs it uses under `_runs/<group>/<slug>` of its sources. What a page asks for
and the run does not hold is a warning with file, line and name, and so fails the build.
"""

import html
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from lab_services import paths
from lab_services.book import looks, mathml
from lab_services.errors import LabError
from lab_services.report import claims, numbers
from lab_services.report.run import FILE, Run
from lab_services.stack import compose, picture
from lab_services.stack.catalogue import compose_path

RUNS = "_runs"
_log = logging.getLogger(__name__)
# MyST-NB gives line 3 of the fifth cell as 50003.
_CELL = 10_000


def setup(app: Sphinx) -> dict[str, Any]:
    """Register roles, directives, the renderer of formulas and the looks."""
    mathml.setup(app)
    app.add_role("measured", Measured(_value))
    app.add_role("measured-range", Measured(_range))
    app.add_directive("figure-from-run", FigureFromRun)
    app.add_directive("claims-from-run", ClaimsFromRun)
    app.add_directive("run-info", RunInfo)
    app.add_directive("topology", Topology)
    looks.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


class Measured(SphinxRole):
    """A number of the run, written with its unit and no more digits than its interval supports."""

    def __init__(self, write: Callable[[dict[str, Any]], str]) -> None:
        super().__init__()
        self._write = write

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            run, name = _asked(self, self.text)
            interval = run.measurement(name)
            text = self._write(dict(run.data["measurements"][name]))
        except LabError as error:
            return [_missing(error, self.get_source_info(), self.rawtext)], []
        told = html.escape(f"{interval}, {_provenance(run)}", quote=True)
        shown = f'<span class="measured" title="{told}">{html.escape(text)}</span>'
        return [nodes.raw(self.rawtext, shown, format="html")], []


class _FromRun(SphinxDirective):
    """A directive with one argument; LabError becomes a warning at its line."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        try:
            return self.made()
        except LabError as error:
            return [_missing(error, self.get_source_info(), self.block_text)]

    def made(self) -> list[nodes.Node]:
        """What stands in the page."""
        raise NotImplementedError


class FigureFromRun(_FromRun):
    """A figure with a caption: the directive's content, or the chart's title."""

    has_content = True

    def made(self) -> list[nodes.Node]:
        run, name = _asked(self, self.arguments[0])
        entry, drawn = run.figure(name)
        figure = nodes.figure(classes=["from-run"])
        figure += nodes.raw("", f'<div class="lab-chart">{drawn}</div>', format="html")
        written = self.parse_content_to_nodes() if self.content else []
        first = written[0].children if written else [nodes.Text(entry["title"])]
        figure += nodes.caption("", "", *first)
        legend = nodes.legend("", *written[1:])
        legend += nodes.paragraph("", _provenance(run), classes=["run-info"])
        figure += legend
        # An id makes it a numbered figure, and the target of {numref}.
        figure["names"].append(f"{run.lab}:{name}")
        self.state.document.note_explicit_target(figure, figure)
        return [figure]


class ClaimsFromRun(_FromRun):
    """The claims with what was measured and their verdicts."""

    def made(self) -> list[nodes.Node]:
        run = _run(self, self.arguments[0])
        return [nodes.raw("", claims.table(run.claims), format="html")]


class RunInfo(_FromRun):
    """When and where the run was made."""

    def made(self) -> list[nodes.Node]:
        run = _run(self, self.arguments[0])
        seconds = numbers.written(float(run.data["seconds"]), "s")
        machine = run.data["machine"]
        memory = numbers.written(float(machine["memory"]), "bytes")
        text = (
            f"Numbers and figures on this page were {_provenance(run)}, with {memory} of memory, "
            f"{machine['system']} and Python {machine['python']}. The run took {seconds}."
        )
        if run.data["short"]:
            text += " It was a short run: intervals are wider than in a full one."
        return [nodes.paragraph("", text, classes=["run-info"])]


class Topology(_FromRun):
    """The stack as its Compose file describes it."""

    def made(self) -> list[nodes.Node]:
        lab = self.arguments[0]
        file = compose_path(lab)
        self.env.note_dependency(str(file))
        # The file asks for the folder of the models, which the picture does not show.
        topology = compose.read(file, {"LAB_MODELS": str(paths.models_dir()), **os.environ})
        drawn = picture.draw(topology, None, f"The stack of {lab}")
        return [nodes.raw("", f'<div class="lab-topology">{drawn}</div>', format="html")]


def _asked(asking: SphinxDirective | SphinxRole, text: str) -> tuple[Run, str]:
    lab, colon, name = text.partition(":")
    if not colon or not name:
        raise LabError(f"{text!r} names nothing in a run: write group/slug:name.")
    return _run(asking, lab), name


def _run(asking: SphinxDirective | SphinxRole, lab: str) -> Run:
    folder = Path(asking.env.srcdir) / RUNS / lab
    run = Run.load(folder)
    asking.env.note_dependency(str(folder / FILE))
    return run


def _missing(error: LabError, place: tuple[str, int], text: str) -> nodes.Node:
    """The warning, and the request itself in the page, for those who look at it nevertheless."""
    source, line = place
    where = source
    if source.endswith(".ipynb"):
        cell, line = divmod(line, _CELL)
        where += f", cell {cell}"
    _log.warning("%s", error, location=f"{where}:{line}", type="lab", subtype="run")
    return nodes.literal(text, text)


def _value(entry: dict[str, Any]) -> str:
    return str(entry["text"])


def _range(entry: dict[str, Any]) -> str:
    return str(entry["range"])


def _provenance(run: Run) -> str:
    """`measured on 22 November 2026 on a Xeon with 2 cores, in containers`."""
    when = datetime.fromisoformat(run.data["when"])
    machine = run.data["machine"]
    place = {"docker": "in containers", "process": "as plain processes"}[run.runtime]
    return (
        f"measured on {when.day} {when:%B %Y} on {machine['processor']} "
        f"({machine['cores']} cores), {place}"
    )
