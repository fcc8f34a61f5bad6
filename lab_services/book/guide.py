"""Sphinx: the decision guide and the map of all patterns, drawn from the catalogue.

- `{decision-guide}` is the guide as trees of questions, each a section
- `{situations}` is the guide as tables: what one sees, and where to look
- `{pattern-overview}` names all patterns by group, on one screen
- `{pattern-map}` shows each pattern with all that is related to it, a section for each group
- `` {pattern}`serving/batch` `` is a pattern's title within a text, a link once it has a page

Trees are nested lists, which a style sheet draws: they reflow on a phone, need no script, are read
aloud as they are, and every name is a link that the keyboard reaches. A pattern without a page is
called planned and leads nowhere.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxRole

from lab_services.book import catalogue, html_nodes
from lab_services.book.catalogue import STEPS, Catalogue, Entry, Kind, Question
from lab_services.book.from_run import FromRun, missing
from lab_services.errors import LabError
from lab_services.paths import GROUPS

_DRAWN = "catalogue"


def setup(app: Sphinx) -> None:
    """Register the directives and their style sheet."""
    app.add_directive("decision-guide", DecisionGuide)
    app.add_directive("situations", Situations)
    app.add_directive("pattern-overview", PatternOverview)
    app.add_directive("pattern-map", PatternMap)
    app.add_role("pattern", PatternName())
    app.connect("env-get-outdated", _drawn_again)
    app.add_css_file("catalogue.css")


class _FromCatalogue(FromRun):
    """A directive that draws from the catalogue."""

    required_arguments = 0

    def made(self) -> list[nodes.Node]:
        return self.drawn(_catalogue_of(self.env))

    def drawn(self, book: Catalogue) -> list[nodes.Node]:
        """What stands in the page."""
        raise NotImplementedError

    def title(self, book: Catalogue, entry: Entry) -> list[nodes.Node]:
        """The title, a link where there is a page, and what else must be known of the entry."""
        name = nodes.inline("", entry.title, classes=["lab-name"])
        shown: list[nodes.Node] = [name]
        if entry.slug in book.written:
            shown = [html_nodes.page_link(f"book/{entry.slug}", name, self.env.docname)]
        for tag in _tags(book, entry):
            shown += [nodes.Text(" "), nodes.inline("", tag, classes=_tag_classes(tag))]
        return shown

    def box(self, book: Catalogue, entry: Entry) -> nodes.paragraph:
        """The entry in a sentence."""
        classes = ["lab-entry", _state(book, entry)]
        box = nodes.paragraph("", "", *self.title(book, entry), classes=classes)
        box += [nodes.Text(" "), nodes.inline("", entry.what, classes=["lab-what"])]
        return box


class DecisionGuide(_FromCatalogue):
    """A start that leads to the trees, and the trees."""

    def drawn(self, book: Catalogue) -> list[nodes.Node]:
        start = [_item(_link(tree.title, f"guide-{tree.name}")) for tree in book.guide]
        made: list[nodes.Node] = [
            nodes.paragraph("", "What is it about?", classes=["lab-ask"]),
            nodes.bullet_list("", *start, classes=["lab-tree"]),
        ]
        for tree in book.guide:
            asked = self._asked(book, tree.question)
            made.append(_section(tree.title, f"guide-{tree.name}", asked))
        return made

    def _asked(self, book: Catalogue, question: Question) -> list[nodes.Node]:
        items = []
        for branch in question.branches:
            item = _item(nodes.Text(branch.when), classes=["lab-when"])
            item += [self.box(book, book.entries[slug]) for slug in branch.take]
            if branch.question:
                item += self._asked(book, branch.question)
            items.append(item)
        return [
            nodes.paragraph("", question.ask, classes=["lab-ask"]),
            nodes.bullet_list("", *items, classes=["lab-tree"]),
        ]


class Situations(_FromCatalogue):
    """A table for each group; entries that share a situation share its row."""

    def drawn(self, book: Catalogue) -> list[nodes.Node]:
        made: list[nodes.Node] = []
        for group, title in GROUPS.items():
            rows: dict[str, list[Entry]] = {}
            for entry in book.group(group):
                for situation in entry.situations:
                    rows.setdefault(situation, []).append(entry)
            table = html_nodes.table(
                ("What you see", "Where to look"),
                [(situation, self._names(book, found)) for situation, found in rows.items()],
                "lab-situations",
            )
            made.append(_section(title, f"situations-{group}", [table]))
        return made

    def _names(self, book: Catalogue, entries: Sequence[Entry]) -> list[nodes.Node]:
        return [nodes.paragraph("", "", *self.title(book, entry)) for entry in entries]


class PatternOverview(_FromCatalogue):
    """The names alone, each leading to its place on the map."""

    def drawn(self, book: Catalogue) -> list[nodes.Node]:
        made: list[nodes.Node] = []
        for group, title in GROUPS.items():
            items = []
            for entry in book.group(group):
                item = _item(_link(entry.title, _place(entry.slug)), of=[_state(book, entry)])
                for tag in _tags(book, entry):
                    item[0] += [nodes.Text(" "), nodes.inline("", tag, classes=_tag_classes(tag))]
                items.append(item)
            made.append(nodes.paragraph("", title, classes=["lab-group"]))
            made.append(nodes.bullet_list("", *items, classes=["lab-chips"]))
        return made


class PatternMap(_FromCatalogue):
    """A tree for each group: what leads to what; the other relations stand in the boxes."""

    def drawn(self, book: Catalogue) -> list[nodes.Node]:
        made: list[nodes.Node] = []
        for group, title in GROUPS.items():
            entries = book.group(group)
            # Under the first that leads to it; others say so in their boxes.
            above: dict[str, str] = {}
            for entry in entries:
                for slug in entry.leads_to:
                    if book.entries[slug].group == group:
                        above.setdefault(slug, entry.slug)
            roots = [entry for entry in entries if entry.slug not in above]
            items = [self._item(book, entry, above, "") for entry in roots]
            tree = nodes.bullet_list("", *items, classes=["lab-tree", "lab-map"])
            made.append(_section(title, f"map-{group}", [tree]))
        return made

    def _item(
        self, book: Catalogue, entry: Entry, above: dict[str, str], how: str
    ) -> nodes.list_item:
        item = nodes.list_item(ids=[_place(entry.slug)])
        if how:
            item += nodes.paragraph("", how, classes=["lab-when"])
        box = self.box(book, entry)
        box += [nodes.Text(" "), nodes.inline("", entry.question, classes=["lab-question"])]
        for word, slugs in book.relations(entry.slug).items():
            # What the tree shows need not be told.
            told = [s for s in slugs if above.get(s) != entry.slug and above.get(entry.slug) != s]
            if told:
                box += [nodes.Text(" "), self._related(book, word, told)]
        item += box
        below = [
            self._item(book, book.entries[slug], above, word)
            for word in STEPS
            for slug in entry.related.get(word, ())
            if above.get(slug) == entry.slug
        ]
        if below:
            item += nodes.bullet_list("", *below, classes=["lab-tree", "lab-map"])
        return item

    def _related(self, book: Catalogue, word: str, slugs: Iterable[str]) -> nodes.inline:
        told = nodes.inline("", f"{word.capitalize()}: ", classes=["lab-related"])
        for number, slug in enumerate(slugs):
            told += [
                nodes.Text(", " if number else ""),
                _link(book.entries[slug].title, _place(slug)),
            ]
        return told


class PatternName(SphinxRole):
    """A title that follows the catalogue, so that no page need know which others are written."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            book = _catalogue_of(self.env)
            if self.text not in book.entries:
                raise LabError(f"{catalogue.FILE} has no {self.text}: it names all there are.")
        except LabError as error:
            return [missing(error, self.get_source_info(), self.rawtext)], []
        title: nodes.Node = nodes.Text(book.entries[self.text].title)
        if self.text in book.written:
            title = html_nodes.page_link(f"book/{self.text}", title, self.env.docname)
        return [nodes.strong("", "", title)], []


def _catalogue_of(env: BuildEnvironment) -> Catalogue:
    """The book's catalogue; the page that is being read is drawn again when that changes."""
    root = Path(env.srcdir)
    env.note_dependency(str(root / catalogue.FILE))
    env.metadata[env.docname][_DRAWN] = "yes"
    book: Catalogue | None = env.temp_data.get(_DRAWN)
    if book is None:  # Sphinx forgets it with the page; one may name many patterns.
        book = env.temp_data[_DRAWN] = catalogue.read(root)
    return book


def _tags(book: Catalogue, entry: Entry) -> list[str]:
    tags = ["anti-pattern"] if entry.kind is Kind.ANTI else []
    return tags if entry.slug in book.written else [*tags, "planned"]


def _tag_classes(tag: str) -> list[str]:
    return ["lab-tag", f"lab-tag-{tag}"]


def _state(book: Catalogue, entry: Entry) -> str:
    return "lab-written" if entry.slug in book.written else "lab-planned"


def _place(slug: str) -> str:
    return str(nodes.make_id(slug))


def _link(text: str, to: str) -> nodes.reference:
    """A link within the page."""
    return nodes.reference("", text, refuri=f"#{to}", internal=True)


def _item(
    *content: nodes.Node, classes: Sequence[str] = (), of: Sequence[str] = ()
) -> nodes.list_item:
    """A list item of the classes `of` with a paragraph of the `classes`."""
    paragraph = nodes.paragraph("", "", *content, classes=list(classes))
    return nodes.list_item("", paragraph, classes=list(of))


def _section(title: str, name: str, content: Iterable[nodes.Node]) -> nodes.section:
    return nodes.section("", nodes.title("", title), *content, ids=[name], names=[name])


def _drawn_again(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """The pages drawn from the catalogue, when a page has come or gone."""
    if not added and not removed:
        return []
    return [page for page, told in env.metadata.items() if _DRAWN in told and page not in removed]
