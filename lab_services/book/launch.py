"""Buttons that open a lab: on the lab, and on the chapter's page, which has no notebook of its own.

Which there are says `launch_buttons` of `_config.yml`; the theme makes their addresses. Binder's
leads to the lab's workspace, where the running stacks stand beside the notebook (binder/start).
"""

from typing import Any
from urllib.parse import urlencode

from docutils import nodes
from sphinx.application import Sphinx
from sphinx_book_theme.header_buttons.launch import add_launch_buttons

from lab_services import paths
from lab_services.book import repository

_GROUP = "launch-buttons"
_AFTER_THE_THEME = 502  # whose own are added at 501


def setup(app: Sphinx) -> None:
    """Register what adds the buttons."""
    app.connect("html-page-context", _add, priority=_AFTER_THE_THEME)


def _add(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: nodes.document | None
) -> None:
    folder, _, lab = page.partition("/")
    notebook = f"labs/{lab}"
    if folder not in ("book", "labs") or notebook not in app.env.found_docs:
        return
    if page != notebook:
        # As the theme does it for the notebook; the list of buttons stays this page's.
        as_notebook = {"pagename": notebook, "sourcename": f"{notebook}.ipynb"}
        add_launch_buttons(app, notebook, template, {**context, **as_notebook}, tree)
    for group in context["header_buttons"]:
        if group.get("label") == _GROUP:
            for button in group["buttons"]:
                if button["text"] == "Binder":
                    path = urlencode(
                        {"urlpath": f"lab/workspaces/{paths.workspace(lab)}"}, safe="/"
                    )
                    button["url"] = f"{button['url'].partition('?')[0]}?{path}"
            group["buttons"].append(_codespaces(repository.address(app.config)))


def _codespaces(address: str) -> dict[str, str]:
    """A whole machine with Docker, in which `make lab` works as it does at home."""
    return {
        "type": "link",
        "text": "Codespaces",
        "tooltip": "Open the repository in Codespaces",
        "icon": "fab fa-github",
        "url": f"https://codespaces.new/{address.removeprefix('https://github.com/')}",
    }
