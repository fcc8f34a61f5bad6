"""JupyterLab's workspace of a lab: the notebook at the left, the running stacks beside it.

    python -m lab_services.command.workspace FOLDER

writes those of all labs to FOLDER, for a JupyterLab that is started in this directory.
"""

import json
import os
import sys
from pathlib import Path

from lab_services import paths
from lab_services.command import stacks_page
from lab_services.command.labs import notebooks

# As jupyter-server-proxy's front end and JupyterLab's restorer build them from their parts.
_WIDGET = f"server-proxy:{stacks_page.NAME}"
_RESTORED = f"server-proxy:{_WIDGET}"


def layout(lab: str, notebook: Path) -> dict[str, object]:
    """The workspace; `notebook` is relative to JupyterLab's root."""
    opened = f"notebook:{notebook}"
    address = f"{os.environ.get('JUPYTERHUB_SERVICE_PREFIX', '/')}{stacks_page.NAME}/"
    dock = {
        "type": "split-area",
        "orientation": "horizontal",
        "sizes": [0.68, 0.32],
        "children": [
            {"type": "tab-area", "currentIndex": 0, "widgets": [opened]},
            {"type": "tab-area", "currentIndex": 0, "widgets": [_RESTORED]},
        ],
    }
    side = {"collapsed": True, "visible": True, "widgets": []}
    return {
        "data": {
            "layout-restorer:data": {
                "main": {"dock": dock, "current": opened},
                "down": {"size": 0, "widgets": []},
                "left": side,
                "right": side,
                "relativeSizes": [0, 1, 0],
            },
            opened: {"data": {"path": str(notebook), "factory": "Notebook"}},
            _RESTORED: {
                "data": {
                    "id": _WIDGET,
                    "title": stacks_page.TITLE,
                    "url": address,
                    "newBrowserTab": False,
                }
            },
        },
        "metadata": {"id": paths.workspace(lab)},
    }


def write(folder: Path, root: Path) -> None:
    """Write the workspace of every lab; `root` is JupyterLab's root."""
    from jupyterlab_server.workspaces_handler import WorkspacesManager

    manager = WorkspacesManager(str(folder))
    for lab, notebook in notebooks().items():
        manager.save(paths.workspace(lab), json.dumps(layout(lab, notebook.relative_to(root))))


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path.cwd())
