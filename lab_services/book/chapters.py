"""The chapters there are: page, lab and stack mirror each other, and the contents list them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lab_services.errors import LabError
from lab_services.paths import GROUPS

_FILES = {
    "page": "book/{slug}.md",
    "lab": "labs/{slug}.ipynb",
    "stack": "lab_services/patterns/{folder}/compose.yaml",
}


class BookIncomplete(LabError):
    """Half a chapter, one in the wrong group, or one that the table of contents does not list."""


def slugs(root: Path) -> list[str]:
    """Every chapter, in the order of the table of contents.

    Raises BookIncomplete, naming every file that is missing, alone or in the wrong place.
    """
    found = {
        "page": {f"{f.parent.name}/{f.stem}" for f in root.glob("book/[!.]*/*.md")},
        "lab": {f"{f.parent.name}/{f.stem}" for f in root.glob("labs/[!.]*/*.ipynb")},
        "stack": {
            f"{f.parent.parent.name}/{f.parent.name.replace('_', '-')}"
            for f in root.glob("lab_services/patterns/*/*/compose.yaml")
        },
    }
    contents = yaml.safe_load((root / "_toc.yml").read_text())
    listed = list(_files(contents))
    complete = set.intersection(*found.values())
    problems = [*_halves(found), *_strangers(found), *_misplaced(contents, complete)]
    problems += [
        f"{name} is not in _toc.yml."
        for slug in sorted(complete)
        for name in (f"book/{slug}", f"labs/{slug}")
        if name not in listed
    ]
    if problems:
        raise BookIncomplete("\n".join(problems))
    return _chapters(listed, complete)


def file(kind: str, slug: str) -> str:
    """Where the page, the lab or the stack of a chapter lies, from the root."""
    return _FILES[kind].format(slug=slug, folder=slug.replace("-", "_"))


def _halves(found: dict[str, set[str]]) -> Iterator[str]:
    """Page, lab or stack without the other two, or in a group without them."""
    known = sorted(set.union(*found.values()))
    for name in sorted({slug.split("/")[1] for slug in known}):
        namesakes = [slug for slug in known if slug.split("/")[1] == name]
        there = [(kind, slug) for slug in namesakes for kind in _FILES if slug in found[kind]]
        if len(there) == len(namesakes) * len(_FILES):
            continue
        if len(namesakes) > 1:
            places = ", ".join(file(*one) for one in there)
            yield f"A chapter lies in one group, but {name} in several: {places}."
            continue
        for kind in _FILES:
            if (kind, namesakes[0]) not in there:
                yield f"{file(*there[0])} has no {kind} {file(kind, namesakes[0])}."


def _strangers(found: dict[str, set[str]]) -> Iterator[str]:
    """Files of a group that the book does not have."""
    for kind, slugs_ in found.items():
        for slug in sorted(slugs_):
            if (group := slug.split("/")[0]) not in GROUPS:
                yield (
                    f"{file(kind, slug)}: there is no group {group!r}; "
                    f"the groups are {', '.join(GROUPS)}."
                )


def _misplaced(contents: dict[str, Any], known: set[str]) -> Iterator[str]:
    """Chapters under the heading of another group."""
    for part in contents.get("parts", ()):
        for slug in _chapters(_files(part), known):
            group = slug.split("/")[0]
            if part.get("caption") != GROUPS.get(group):
                yield (
                    f"_toc.yml lists book/{slug} under {part.get('caption')!r}, "
                    f"but its group is {group!r}."
                )


def _chapters(listed: Iterator[str] | list[str], known: set[str]) -> list[str]:
    pages = {f"book/{slug}": slug for slug in known}
    return [pages[name] for name in listed if name in pages]


def _files(entry: Any) -> Iterator[str]:
    """Every `file` and `root` of a table of contents."""
    if isinstance(entry, dict):
        for key, value in entry.items():
            if key in ("file", "root"):
                yield str(value)
            else:
                yield from _files(value)
    elif isinstance(entry, list):
        for one in entry:
            yield from _files(one)
