"""Parts of a page that several directives build: a table, and a link to another page."""

from collections.abc import Iterable, Sequence

from docutils import nodes
from sphinx.addnodes import pending_xref

# A text, or paragraphs.
Cell = str | Sequence[nodes.Node]


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], *classes: str) -> nodes.table:
    """A table with a head; its columns are equally wide but with the class `colwidths-auto`."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in heads), cols=len(heads))
    group += nodes.thead("", _row(heads))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", group, classes=list(classes))


def page_link(page: str, shown: nodes.Node, asking: str) -> pending_xref:
    """A link from the page `asking` to `page`, by their paths; Sphinx warns where it is missing."""
    return pending_xref(
        "",
        shown,
        refdomain="std",
        reftype="doc",
        reftarget=f"/{page}",
        refdoc=asking,
        refexplicit=True,
        refwarn=True,
    )


def _row(cells: Sequence[Cell]) -> nodes.row:
    return nodes.row("", *map(_entry, cells))


def _entry(cell: Cell) -> nodes.entry:
    return nodes.entry("", *([nodes.paragraph("", cell)] if isinstance(cell, str) else cell))
