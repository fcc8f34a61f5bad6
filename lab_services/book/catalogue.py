"""The catalogue: every pattern of the book, written or planned, and how they relate.

`book/catalogue.yml` holds it. An entry is written when its page `book/<group>/<slug>.md` is there.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from lab_services.errors import LabError
from lab_services.paths import GROUPS

FILE = Path("book/catalogue.yml")


class Kind(StrEnum):
    """Something to do, or something to avoid."""

    PATTERN = "pattern"
    ANTI = "anti"


RELATIONS = {
    "instead of": "instead of",
    "together with": "together with",
    "grows into": "grows out of",
    "comes before": "comes after",
    "guards against": "guarded against by",
}
"""What a relation is called by the entry that states it, and by the other one."""

STEPS = ("grows into", "comes before")
"""The relations that lead on, and so never in a circle."""

_ENTRY = {"slug", "title", "kind", "what", "question", "situations", "related"}


@dataclass(frozen=True)
class Entry:
    """A pattern or an anti-pattern; `related` holds what the entry itself states."""

    slug: str
    title: str
    kind: Kind
    what: str
    question: str
    situations: tuple[str, ...]
    related: Mapping[str, tuple[str, ...]]

    @property
    def group(self) -> str:
        """The first part of the slug."""
        return self.slug.partition("/")[0]

    @property
    def leads_to(self) -> tuple[str, ...]:
        """What it grows into, and what comes after it."""
        return tuple(slug for word in STEPS for slug in self.related.get(word, ()))


@dataclass(frozen=True)
class Branch:
    """An answer of the decision guide: it leads to entries, or to the next question."""

    when: str
    take: tuple[str, ...]
    question: "Question | None"


@dataclass(frozen=True)
class Question:
    """A question of the decision guide with its answers."""

    ask: str
    branches: tuple[Branch, ...]

    def ends(self) -> Iterator[str]:
        """The slugs of all entries it leads to."""
        for branch in self.branches:
            yield from branch.take
            if branch.question:
                yield from branch.question.ends()


@dataclass(frozen=True)
class Tree:
    """A part of the decision guide: a name for links, a title, and the first question."""

    name: str
    title: str
    question: Question


@dataclass(frozen=True)
class Catalogue:
    """All entries by slug in the order of the file, the guide, and which pages are written."""

    entries: Mapping[str, Entry]
    guide: tuple[Tree, ...]
    written: frozenset[str]

    def group(self, group: str) -> list[Entry]:
        """The entries of a group, in the order of the file."""
        return [entry for entry in self.entries.values() if entry.group == group]

    def relations(self, slug: str) -> dict[str, list[str]]:
        """All that is related to an entry, by either side's word: `{"grows into": [slugs]}`."""
        found: dict[str, list[str]] = {}
        for relation, back in RELATIONS.items():
            stated = list(self.entries[slug].related.get(relation, ()))
            met = [e.slug for e in self.entries.values() if slug in e.related.get(relation, ())]
            for word, slugs in ((relation, stated), (back, met)):
                if slugs:
                    found.setdefault(word, []).extend(slugs)
        return found


def check(root: Path) -> None:
    """Raise LabError for a catalogue with a fault; a book may have none."""
    if (root / FILE).is_file():
        read(root)


def read(root: Path) -> Catalogue:
    """The catalogue of the book below `root`.

    Raises LabError, naming the file and every entry at fault: an unknown, doubled or misplaced
    slug, a text that is missing, a relation to nothing or stated twice, a page without an entry.
    """
    data = _data(root)
    found = _entries(data)
    trees = tuple(
        Tree(each["name"], each["title"], _question(each)) for each in data.get("guide", ())
    )
    pages = _pages(root)
    problems = _wrong_relations(found)
    problems += _wrong_guide(found, trees)
    problems += [_homeless(page, found) for page in sorted(pages - found.keys())]
    _raise(problems)
    return Catalogue(found, trees, frozenset(pages))


def entries(root: Path) -> Mapping[str, Entry]:
    """The entries by slug, whichever pages there are; none where the book has no catalogue."""
    return _entries(_data(root)) if (root / FILE).is_file() else {}


def _data(root: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = yaml.safe_load((root / FILE).read_text())
    except FileNotFoundError as error:
        raise LabError(f"The book has no catalogue: {FILE} is missing.") from error
    except yaml.YAMLError as error:
        raise LabError(f"{FILE} is not YAML: {error}.") from error
    return data


def _entries(data: dict[str, Any]) -> dict[str, Entry]:
    raw = data["entries"]
    problems = [problem for each in raw for problem in _faults(each)]
    counted = Counter(each.get("slug") for each in raw)
    problems += [f"{slug} is there twice." for slug, count in counted.items() if count > 1]
    _raise(problems)
    return {each["slug"]: _entry(each) for each in raw}


def _raise(problems: list[str]) -> None:
    if problems:
        raise LabError("\n".join(f"{FILE}: {problem}" for problem in problems))


def _faults(raw: dict[str, Any]) -> Iterator[str]:
    name = raw.get("slug") or raw.get("title") or "an entry"
    group, slash, slug = str(raw.get("slug", "")).partition("/")
    if group not in GROUPS or not slash or not slug:
        yield f"{name} is in no group; a slug is group/name with a group of {', '.join(GROUPS)}."
    if missing := sorted(_ENTRY - raw.keys()):
        yield f"{name} lacks {', '.join(missing)}."
    if unknown := sorted(raw.keys() - _ENTRY):
        yield f"{name} has an unknown {', '.join(unknown)}."
    if raw.get("kind") not in list(Kind):
        yield f"{name} is of the kind {raw.get('kind')!r}; there are {', '.join(Kind)}."
    if not raw.get("situations"):
        yield f"{name} has no situation that leads to it."
    for relation in raw.get("related") or ():
        if relation not in RELATIONS:
            yield f"{name}: no relation is called {relation!r}; there are {', '.join(RELATIONS)}."


def _entry(raw: dict[str, Any]) -> Entry:
    related = {relation: tuple(slugs) for relation, slugs in raw["related"].items()}
    return Entry(
        **{name: str(raw[name]) for name in ("slug", "title", "what", "question")},
        kind=Kind(raw["kind"]),
        situations=tuple(raw["situations"]),
        related=related,
    )


def _question(raw: dict[str, Any]) -> Question:
    return Question(raw["ask"], tuple(_branch(each) for each in raw["branches"]))


def _branch(raw: dict[str, Any]) -> Branch:
    when = raw["when"]
    if not isinstance(when, str):
        raise LabError(f"{FILE}: the answer {when!r} of the guide is no text: put it in quotes.")
    if ("take" in raw) == ("ask" in raw):
        raise LabError(f"{FILE}: the answer {when!r} of the guide wants either take or ask.")
    return Branch(when, tuple(raw.get("take", ())), _question(raw) if "ask" in raw else None)


def _wrong_relations(entries: Mapping[str, Entry]) -> list[str]:
    problems: list[str] = []
    seen: set[tuple[str, frozenset[str]]] = set()
    for entry in entries.values():
        for relation, others in entry.related.items():
            for other in others:
                if other not in entries:
                    problems.append(f"{entry.slug}: {relation} {other}, which is no entry.")
                elif other == entry.slug:
                    problems.append(f"{entry.slug}: {relation} itself.")
                pair = (relation, frozenset((entry.slug, other)))
                if pair in seen:
                    problems.append(f"{entry.slug}: {relation} {other} is stated twice.")
                seen.add(pair)
                if relation == "guards against" and entries.get(other, entry).kind != Kind.ANTI:
                    problems.append(f"{entry.slug}: guards against {other}, which is a pattern.")
    try:
        list(TopologicalSorter({e.slug: e.leads_to for e in entries.values()}).static_order())
    except CycleError as error:
        problems.append(f"these lead to one another in a circle: {', '.join(error.args[1])}.")
    return problems


def _wrong_guide(entries: Mapping[str, Entry], trees: tuple[Tree, ...]) -> list[str]:
    ends = [slug for tree in trees for slug in tree.question.ends()]
    problems = [
        f"the guide leads to {slug}, which is no entry." for slug in ends if slug not in entries
    ]
    if trees:
        problems += [f"the guide never leads to {slug}." for slug in entries if slug not in ends]
    return problems


def _pages(root: Path) -> set[str]:
    return {
        f"{group}/{file.stem}" for group in GROUPS for file in (root / "book" / group).glob("*.md")
    }


def _homeless(page: str, entries: Mapping[str, Entry]) -> str:
    name = page.partition("/")[2]
    elsewhere = [slug for slug in entries if slug.partition("/")[2] == name]
    told = f"it is {elsewhere[0]} here" if elsewhere else "add one"
    return f"book/{page}.md has no entry: {told}."
