"""One style sheet for a page to wait for in place of ten: on a slow processor each file costs more
than its bytes do."""

import hashlib
import os
import re
from pathlib import Path

from sphinx.application import Sphinx

_LINK = re.compile(r'\s*<link\b[^>]*\bhref="([^":?]*\.css)(?:\?[^"]*)?"[^>]*>')
_IMPORT = re.compile(r'@import\s+"([^":]+)"\s*;')
_ADDRESS = re.compile(r'url\(\s*["\']?([^"\':#)]+)["\']?\s*\)')


def setup(app: Sphinx) -> None:
    """Bundle at the end of a build of pages."""
    # After the theme, which writes the colours of code at this moment too.
    app.connect("build-finished", _finished, priority=900)


def _finished(app: Sphinx, problem: Exception | None) -> None:
    if problem is None and app.builder.format == "html":
        bundle(Path(app.outdir))


def bundle(site: Path) -> None:
    """Replace what every page of `site` links of the site's own style sheets by one sheet that
    holds them all, in their order.

    Raises FileNotFoundError where a page links a sheet that is not there.
    """
    static = site.resolve() / "_static"
    sheets: dict[tuple[Path, ...], Path] = {}
    for page in site.resolve().rglob("*.html"):
        head, end, body = page.read_text().partition("</head>")
        linked = tuple(_there(page, name) for name in _LINK.findall(head))
        if len(linked) < 2:
            continue
        if linked not in sheets:
            sheets[linked] = _put_together(linked, static)
        address = os.path.relpath(sheets[linked], page.parent)
        head = _LINK.sub(f'\n    <link rel="stylesheet" href="{address}" />', head, count=1)
        kept, one, others = head.partition(f'href="{address}" />')
        page.write_text(kept + one + _LINK.sub("", others) + end + body)


def _put_together(linked: tuple[Path, ...], static: Path) -> Path:
    """The sheets as one, named after what it holds, so that no browser keeps an old one."""
    text = "\n".join(_read(sheet, static) for sheet in linked)
    made = static / f"bundle-{hashlib.sha256(text.encode()).hexdigest()[:12]}.css"
    made.write_text(text)
    return made


def _read(sheet: Path, static: Path) -> str:
    """A sheet with what it imports in place, and its addresses as they read in `static`."""

    def address(match: re.Match[str]) -> str:
        return f'url("{os.path.relpath(sheet.parent / match[1], static)}")'

    def imported(match: re.Match[str]) -> str:
        return _read(_there(sheet, match[1]), static)

    return _IMPORT.sub(imported, _ADDRESS.sub(address, sheet.read_text()))


def _there(file: Path, name: str) -> Path:
    """What `file` calls `name`."""
    return (file.parent / name).resolve()
