"""A part of a pattern that runs in the reader's browser, with what the kept run has handed on.

``{in-browser} serving/edge-prediction:package`` takes the folder `browser` of the pattern along.
Its `main.js` exports `mount(place, source)`: it fills an element, and `source` is the address of
the file that the lab has handed on under that name. It loads nothing large before it is asked to.
"""

import html
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from lab_services.book.from_run import FromRun, asked
from lab_services.errors import LabError

# What the script replaces. Browsers load no module from a folder.
_WITHOUT = (
    "<p>This part needs JavaScript and a server, be it that of <code>make serve</code>. "
    "Opened from a folder a page cannot load it.</p>"
)
# Below the site's _static.
_PLACE = "in-browser"
# What a folder holds for those who read or serve it by itself.
_LEFT_OUT = shutil.ignore_patterns("index.html", "*.md")


def setup(app: Sphinx) -> None:
    """Register the directive, and the copy at the end of a build of pages."""
    app.add_directive("in-browser", InBrowser)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
    app.connect("build-finished", _finished)


class InBrowser(FromRun):
    """An element that the pattern's script fills."""

    def made(self) -> list[nodes.Node]:
        run, name = asked(self, self.arguments[0])
        folder = Path(self.env.srcdir) / "lab_services/patterns" / run.lab.replace("-", "_")
        if not (folder / "browser/main.js").is_file():
            raise LabError(f"The pattern {run.lab} has no browser/main.js.")
        self.env.note_dependency(str(run.file(name)))
        _asked_for(self.env)[self.env.docname] = {
            "lab": run.lab,
            "folder": str(folder / "browser"),
            "file": str(run.file(name)),
        }
        up = "../" * self.env.docname.count("/")
        place = html.escape(f"{up}_static/{_PLACE}/{run.lab}")
        ident = html.escape(f"in-browser-{run.lab.replace('/', '-')}")
        return [
            nodes.raw(
                "",
                f'<div class="lab-in-browser" id="{ident}">{_WITHOUT}</div>\n'
                f'<script type="module">import {{ mount }} from "{place}/main.js";\n'
                f'mount(document.getElementById("{ident}"), "{place}/{name}.json");</script>',
                format="html",
            )
        ]


def _asked_for(env: Any) -> dict[str, dict[str, str]]:
    """By page; an environment read from a cache of before has none."""
    if not hasattr(env, "lab_in_browser"):
        env.lab_in_browser = {}
    found: dict[str, dict[str, str]] = env.lab_in_browser
    return found


def _purge(_app: Sphinx, env: Any, page: str) -> None:
    _asked_for(env).pop(page, None)


def _merge(_app: Sphinx, env: Any, _pages: list[str], other: Any) -> None:
    _asked_for(env).update(_asked_for(other))


def _finished(app: Sphinx, problem: Exception | None) -> None:
    if problem is not None or app.builder.format != "html":
        return
    for wanted in _asked_for(app.env).values():
        place = Path(app.outdir) / "_static" / _PLACE / wanted["lab"]
        shutil.copytree(wanted["folder"], place, ignore=_LEFT_OUT, dirs_exist_ok=True)
        shutil.copy(wanted["file"], place)
