"""The book's own style sheet, script, icon and templates, over those of the theme."""

from pathlib import Path

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


def _add_folders(_app: Sphinx, config: Config) -> None:
    config.html_static_path.append(str(_STATIC))
    config.templates_path.append(str(_TEMPLATES))
