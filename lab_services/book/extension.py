"""Sphinx: what a page takes from the kept run of a lab, and from its Compose file.

- ``{measured}`serving/web-single:gain-2` `` is a number with its unit, ``{measured-range}`` its
  interval; what the lab could not measure is marked as not known, with the reason as its tooltip
- ``{figure-from-run} serving/web-single:rollout`` is a figure; the content is its caption
- ``{claims-from-run} serving/web-single`` is the table of claims with their verdicts
- ``{run-info} serving/web-single`` says when, where and on which runtime it was measured
- ``{topology} serving/web-single`` draws the stack
- ``{in-browser} serving/edge-prediction:package`` runs a pattern's own page (`in_browser`)
- ``{key-numbers}`` and ``{claims-index}`` show those of all chapters (`overview`)
- what `guide` draws from the catalogue, `times` tells of the labs, `repository` of its address

What a page asks for and the run does not hold is a warning with file, line and name, and so fails
the build.
"""

import hashlib
import html
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

import lab_services
from lab_services import paths
from lab_services.book import (
    bundle,
    durations,
    guide,
    highlighting,
    in_browser,
    launch,
    mathml,
    overview,
    published,
    repository,
    theme,
)
from lab_services.book.from_run import (
    LESS,
    FromRun,
    NotMeasured,
    asked,
    kept,
    missing,
    named,
    provenance,
    shown_run,
    why_not,
)
from lab_services.book.sources import PUBLISHED
from lab_services.errors import LabError
from lab_services.report import claims, numbers
from lab_services.stack import compose, picture
from lab_services.stack.catalogue import compose_path


def setup(app: Sphinx) -> dict[str, Any]:
    """Register roles, directives, the renderer of formulas, looks and launch buttons."""
    mathml.setup(app)
    overview.setup(app)
    guide.setup(app)
    repository.setup(app)
    durations.setup(app)
    app.add_role("measured", Measured(_value))
    app.add_role("measured-range", Measured(_range))
    app.add_directive("figure-from-run", FigureFromRun)
    app.add_directive("claims-from-run", ClaimsFromRun)
    app.add_directive("run-info", RunInfo)
    app.add_directive("topology", Topology)
    highlighting.setup(app)
    in_browser.setup(app)
    theme.setup(app)
    bundle.setup(app)
    launch.setup(app)
    # Pages are read anew when what draws them has changed.
    app.add_config_value("lab_services_code", _code(), "env", types=(str,))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


class Measured(SphinxRole):
    """A number of the run, written with its unit and no more digits than its interval supports."""

    def __init__(self, write: Callable[[dict[str, Any]], str]) -> None:
        super().__init__()
        self._write = write

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            run, name = asked(self, self.text)
            interval = run.measurement(name)
            entry = dict(run.data["measurements"][name])
            told = f"{interval}, {provenance(run)}"
            text = self._write(entry) if interval.known else numbers.UNKNOWN
        except NotMeasured as error:
            text, told = numbers.UNKNOWN, str(error)
        except LabError as error:
            return [missing(error, self.get_source_info(), self.rawtext)], []
        looks = "measured not-known" if text == numbers.UNKNOWN else "measured"
        title = html.escape(told, quote=True)
        span = f'<span class="{looks}" title="{title}">{html.escape(text)}</span>'
        return [nodes.raw(self.rawtext, span, format="html")], []


class FigureFromRun(FromRun):
    """A figure with a caption: the directive's content, or the chart's title."""

    has_content = True

    def made(self) -> list[nodes.Node]:
        lab, name = named(self.arguments[0])
        run = shown_run(self, lab)
        # Where it was not drawn the figure is there all the same: pages lead to it by its number.
        title, drawn, told = name, "", why_not(run) if run.failed else provenance(run)
        if not run.failed:
            entry, drawn = run.figure(name)
            title = entry["title"]
        figure = nodes.figure(classes=["from-run"])
        figure += nodes.raw("", f'<div class="lab-chart">{drawn}</div>', format="html")
        written = self.parse_content_to_nodes() if self.content else []
        first = written[0].children if written else [nodes.Text(title)]
        figure += nodes.caption("", "", *first)
        legend = nodes.legend("", *written[1:])
        legend += nodes.paragraph("", told, classes=["run-info"])
        figure += legend
        # An id makes it a numbered figure, and the target of {numref}; elsewhere it is a guest.
        if self.env.docname.endswith(run.lab):
            figure["names"].append(f"{run.lab}:{name}")
            self.state.document.note_explicit_target(figure, figure)
        return [figure]


class ClaimsFromRun(FromRun):
    """The claims with what was measured and their verdicts.

    Of those that do not hold it shows what a published book says too, if the build was given one.
    """

    def made(self) -> list[nodes.Node]:
        run = kept(self, self.arguments[0])
        file = run.folder / PUBLISHED
        self.env.note_dependency(str(file))
        there = published.beside(run, json.loads(file.read_bytes()))
        return [nodes.raw("", claims.table(run.claims) + there, format="html")]


class RunInfo(FromRun):
    """When and where the run was made."""

    def made(self) -> list[nodes.Node]:
        run = kept(self, self.arguments[0])
        seconds = numbers.written(float(run.data["seconds"]), "s")
        machine = run.data["machine"]
        memory = numbers.written(float(machine["memory"]), "bytes")
        text = (
            f"Numbers and figures on this page were {provenance(run)}, with {memory} of memory, "
            f"{machine['system']} and Python {machine['python']}. The run took {seconds}."
        )
        if less := LESS[run.length]:
            text += f" It was {less}: intervals are wider than in a full one."
        if run.data.get("replayed"):
            text += " Charts, statistics and claims were worked out anew over it since."
        return [nodes.paragraph("", text, classes=["run-info"])]


class Topology(FromRun):
    """The stack as its Compose file describes it."""

    def made(self) -> list[nodes.Node]:
        lab = self.arguments[0]
        file = compose_path(lab)
        self.env.note_dependency(str(file))
        # The file asks for the folder of the models, which the picture does not show.
        topology = compose.read(file, {"LAB_MODELS": str(paths.models_dir()), **os.environ})
        drawn = picture.draw(topology, None, f"The stack of {lab}")
        return [nodes.raw("", f'<div class="lab-topology">{drawn}</div>', format="html")]


def _value(entry: dict[str, Any]) -> str:
    return str(entry["text"])


def _range(entry: dict[str, Any]) -> str:
    return str(entry["range"])


def _code() -> str:
    told = hashlib.sha256()
    for file in sorted(Path(lab_services.__file__).parent.glob("*/*.py")):
        told.update(file.read_bytes())
    return told.hexdigest()
