"""Every reference of a site that leads nowhere within it."""

from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_REFERENCES = {"href", "xlink:href", "src", "data", "poster"}


@dataclass
class _Parser(HTMLParser):
    ids: set[str] = field(default_factory=set)
    references: dict[str, int] = field(default_factory=dict)  # to the line of the first

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (name, tag) == ("name", "a"):
                self.ids.add(value or "")
            elif name in _REFERENCES:
                self.references.setdefault(value or "", self.getpos()[0])


def broken(site: Path) -> list[str]:
    """What leads nowhere, each with its page and line. Other hosts are not asked."""
    root = site.resolve()

    @cache
    def parsed(page: Path) -> _Parser:
        parser = _Parser()
        parser.feed(page.read_text())
        return parser

    found = []
    for page in sorted(root.rglob("*.html")):
        here = page.relative_to(root)
        if here.parts[0] == "_static":  # templates of the theme
            continue
        for reference, line in parsed(page).references.items():
            parts = urlsplit(reference)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.is_relative_to(root) or not target.is_file():
                why = "no such file"
            elif parts.fragment and target.suffix == ".html":
                why = "" if unquote(parts.fragment) in parsed(target).ids else "no such place"
            else:
                why = ""
            if why:
                found.append(f"{here}:{line}: {reference}: {why}")
    return found
