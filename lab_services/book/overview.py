"""Sphinx: what all chapters have measured, on one page.

- ``{key-numbers}`` has a section a chapter: the numbers that its page names in its front matter
- ``{claims-index}`` counts the verdicts, then has a section a chapter with each of its claims, and
  how often it held on other machines where `lab steady` has tried

Both take the chapters from the table of contents; a new one joins by being there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from lab_services.book import chapters, front_matter, html_nodes
from lab_services.book.from_run import (
    LESS,
    PLACES,
    FromRun,
    missing,
    provenance,
    shown_run,
    why_not,
)
from lab_services.book.sources import STEADY
from lab_services.errors import LabError
from lab_services.report import numbers
from lab_services.report.claim import Verdict
from lab_services.report.claims import counted
from lab_services.runs import steadiness
from lab_services.runs.run import FILE, Run

# Columns are as wide as they need.
_CLASSES = ("colwidths-auto", "lab-overview")


def setup(app: Sphinx) -> None:
    """Register both directives."""
    app.add_directive("key-numbers", KeyNumbers)
    app.add_directive("claims-index", ClaimsIndex)


@dataclass(frozen=True)
class Chapter:
    """A chapter with the text of its page, the run that the book shows, and those beside it.

    `steady` is the record of its lab on other machines.
    """

    slug: str
    page: str
    runs: Sequence[Run]
    steady: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The page's own, else the slug."""
        return front_matter.title(self.page) or self.slug


class _Overview(FromRun):
    """A section for each chapter."""

    required_arguments = 0

    @property
    def root(self) -> Path:
        """The folder of the book's sources."""
        return Path(self.env.srcdir)

    def chapters(self) -> list[Chapter]:
        """Every chapter. Raises LabError."""
        # Whatever has changed in a chapter or its runs, this page shows it.
        self.env.note_reread()
        return [self._chapter(slug) for slug in chapters.slugs(self.root)]

    def section(self, chapter: Chapter, content: Iterator[nodes.Node]) -> nodes.section:
        """A section with an anchor and the way to the chapter's page and lab."""
        made = nodes.section("", nodes.title("", chapter.title), names=[chapter.slug])
        self.state.document.note_implicit_target(made, made)
        page = self._link(f"book/{chapter.slug}", "Read the page")
        lab = self._link(f"labs/{chapter.slug}", "open the lab")
        made += nodes.paragraph("", "", page, nodes.Text(" or "), lab, nodes.Text("."))
        made += list(content)
        return made

    def _chapter(self, slug: str) -> Chapter:
        run = shown_run(self, slug)
        beside = [Run.load(file.parent) for file in sorted(run.folder.glob(f"*/{FILE}"))]
        page = (self.root / chapters.file("page", slug)).read_text()
        record = json.loads((run.folder / STEADY).read_bytes())
        return Chapter(slug, page, [run, *beside], record)

    def _link(self, page: str, text: str) -> nodes.Node:
        return html_nodes.page_link(page, nodes.inline("", text), self.env.docname)


class KeyNumbers(_Overview):
    """The numbers that each page calls its key numbers."""

    def made(self) -> list[nodes.Node]:
        return [self.section(chapter, self._numbers(chapter)) for chapter in self.chapters()]

    def _numbers(self, chapter: Chapter) -> Iterator[nodes.Node]:
        run = chapter.runs[0]
        if run.failed:
            yield _when_and_where(run)
            return
        file = self.root / chapters.file("page", chapter.slug)
        yield _when_and_where(run)
        rows = []
        try:
            for number in front_matter.key_numbers(chapter.page, file.name):
                try:
                    interval = run.measurement(number.name)
                except LabError as error:
                    yield missing(error, (str(file), number.line), number.name)
                    continue
                entry = run.data["measurements"][number.name]
                # A number that was counted has no interval, and neither has one that is not known.
                counted_or_not_known = not interval.low < interval.high
                between = "" if counted_or_not_known else str(entry["range"])
                value = [entry["text"]] if interval.known else _gap(interval.note)
                rows.append([_cell(number.says), _cell(*value), _cell(between)])
        except LabError as error:
            yield missing(error, (str(file), 1), chapter.slug)
        if rows:
            yield html_nodes.table(
                ["What was measured", "Value", "95\N{NO-BREAK SPACE}% interval"], rows, *_CLASSES
            )


class ClaimsIndex(_Overview):
    """The verdict of every claim in the last run, on each runtime that has one."""

    def made(self) -> list[nodes.Node]:
        chapters = self.chapters()
        runtimes = [runtime for runtime in PLACES if _claims(chapters, runtime)]
        lines: list[tuple[nodes.Node, Sequence[Chapter]]] = [
            (nodes.reference("", each.title, internal=True, refid=nodes.make_id(each.slug)), [each])
            for each in chapters
        ]
        rows = []
        for name, some in [*lines, (nodes.strong("", "All"), chapters)]:
            total = sum(len(c.runs[0].claims) for c in some if not c.runs[0].failed)
            counts = [counted(_claims(some, runtime)) or "no run" for runtime in runtimes]
            rows.append([_cell(name), _cell(str(total)), *map(_cell, counts)])
        heads = ["Chapter", "Claims", *(PLACES[runtime].capitalize() for runtime in runtimes)]
        sections = [self.section(chapter, _verdicts(chapter)) for chapter in chapters]
        return [html_nodes.table(heads, rows, *_CLASSES), *sections]


def _claims(chapters: Sequence[Chapter], runtime: str) -> list[dict[str, Any]]:
    every = [run for chapter in chapters for run in chapter.runs if run.runtime == runtime]
    runs = [run for run in every if not run.failed]
    return [claim for run in runs for claim in run.claims]


def _verdicts(chapter: Chapter) -> Iterator[nodes.Node]:
    for run in chapter.runs:
        yield _when_and_where(run)
    if chapter.runs[0].failed:
        return
    rows = []
    for claim in chapter.runs[0].claims:
        cells = [_cell(claim["text"], claim["bound"], f"rival: {claim['rival']}", claim["kind"])]
        for run in chapter.runs:
            found = next((c for c in run.claims if c["text"] == claim["text"]), None)
            repeated = steadiness.in_words(chapter.steady, run.runtime, found) if found else ""
            cells.append(_verdict(found, repeated) if found else _cell("not claimed"))
        rows.append(cells)
    heads = [PLACES[run.runtime].capitalize() for run in chapter.runs]
    yield html_nodes.table(["Claim", *heads], rows, *_CLASSES)


def _verdict(claim: dict[str, Any], repeated: str) -> list[nodes.Node]:
    """The verdict, what was measured, how often it has held; what does not hold stands out."""
    verdict = claim["verdict"]
    shown = nodes.Text(verdict) if verdict == Verdict.HOLDS else nodes.strong("", verdict)
    return _cell(shown, claim["measured"]["text"], claim["reason"], repeated)


def _gap(reason: str) -> list[str | nodes.Node]:
    """What stands in the place of a number that could not be measured."""
    shown = nodes.emphasis("", numbers.UNKNOWN)
    return [shown, reason] if reason != numbers.UNKNOWN else [shown]


def _when_and_where(run: Run) -> nodes.Node:
    if run.failed:
        return nodes.paragraph("", why_not(run), classes=["run-info", "not-measured"])
    text = provenance(run)
    less = f", in {LESS[run.length]}" if LESS[run.length] else ""
    return nodes.paragraph("", f"{text[0].upper()}{text[1:]}{less}.", classes=["run-info"])


def _cell(main: str | nodes.Node, *small: str) -> list[nodes.Node]:
    """A cell of a table: its text, and below it smaller ones."""
    below = [nodes.paragraph("", "", _text(each), classes=["run-info"]) for each in small if each]
    return [nodes.paragraph("", "", _text(main) if isinstance(main, str) else main), *below]


def _text(words: str) -> nodes.Text:
    """A narrow column may not part the sign from its number."""
    return nodes.Text(words.replace(" %", "\N{NO-BREAK SPACE}%"))
