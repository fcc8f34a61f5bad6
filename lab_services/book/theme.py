"""The book's own style sheet, script, icon and templates, over those of the theme."""

from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

_STATIC = Path(__file__).parent / "static"
_TEMPLATES = Path(__file__).parent / "templates"


def setup(app: Sphinx) -> None:
    """Register them."""
    app.config.html_favicon = str(_STATIC / "favicon.svg")
    app.connect("config-inited", _add_folders)
    app.add_css_file("lab.css")
    # Before anything is drawn, and after the script of options that it corrects.
    app.add_js_file("lab.js", priority=250)
    # After the theme has put its functions into the context.
    app.connect("html-page-context", _name_toggles, priority=900)
    app.connect("html-page-context", _leave_out_design, priority=900)
    app.connect("html-page-context", _leave_copying_to_later, priority=900)


def _add_folders(_app: Sphinx, config: Config) -> None:
    config.html_static_path.append(str(_STATIC))
    config.templates_path.append(str(_TEMPLATES))


def _name_toggles(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: nodes.document | None
) -> None:
    """Say in words what the arrows of the contents open: the theme has only a picture there."""
    theirs = context["generate_toctree_html"]

    def named(*args: Any, **options: Any) -> BeautifulSoup:
        contents: BeautifulSoup = theirs(*args, **options)
        for toggle in contents.select("li > details > summary"):
            link = toggle.find_previous("a")
            toggle["aria-label"] = f"Below {link.get_text(strip=True)}" if link else "Below"
        return contents

    context["generate_toctree_html"] = named


def _leave_out_design(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: nodes.document | None
) -> None:
    """Cards and tabs need a style sheet and a script; most pages have none."""
    if 'class="sd-' not in context.get("body", ""):
        for files in ("css_files", "script_files"):
            context[files] = [f for f in context[files] if "design" not in str(f.filename)]


def _leave_copying_to_later(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: nodes.document | None
) -> None:
    """Buttons that copy code change the layout of the whole page: `lab.js` loads them when the page
    can be read."""
    later = ("clipboard.min.js", "copybutton.js")
    context["script_files"] = [
        f for f in context["script_files"] if not str(f.filename).endswith(later)
    ]
