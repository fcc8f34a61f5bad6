"""JupyterLab opened on a lab, with what runs beside it."""

import os
import re
import shutil
import sys
from pathlib import Path

import click

from lab_services import paths, writing
from lab_services.command.labs import notebook
from lab_services.errors import LabError

# News and updates off: a lab asks nobody but its own services. binder/start names it too.
_CONFIG = Path(__file__).parent / "jupyter"


@click.command(
    "open",
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
    Examples:
      lab open
      lab open serving/web-single
      lab open serving/web-single --no-browser --port 8890
    """,
)
@click.argument("lab", required=False)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def open_lab(lab: str | None, options: tuple[str, ...]) -> None:
    """Open JupyterLab on the labs, or on LAB beside what runs; OPTIONS are JupyterLab's own.

    JupyterLab runs until Ctrl-C, and its notebooks' stacks end with it.
    """
    from jupyter_core.paths import jupyter_runtime_dir

    from lab_services.command import workspace

    if lab is not None and lab.startswith("-"):
        options, lab = (lab, *options), None
    folder = paths.repository() / "labs"
    # Not as an argument, which only the browser that it opens itself is told of.
    page = []
    if lab is not None:
        notebook(lab)
        page = [f"--LabApp.default_url=/lab/workspaces/{paths.workspace(lab)}"]
    program = shutil.which("jupyter-lab", path=str(Path(sys.executable).parent))
    if program is None:
        raise LabError("JupyterLab is not in this environment.", "`make env` installs it.")
    # Apart from those of the user's own JupyterLab.
    workspaces = writing.ready(paths.cache_dir() / "workspaces", paths.MOVE_CACHE)
    workspace.write(workspaces, folder)
    runtime = Path(jupyter_runtime_dir())
    writing.ready(runtime, "Set JUPYTER_RUNTIME_DIR to a folder that you may write to.")
    sys.stdout.flush()
    settings = [
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.workspaces_dir={workspaces}",
    ]
    if os.geteuid() == 0:
        # In many containers root is the only user; the server listens on loopback, with a token.
        settings.append("--allow-root")
    if codespace := os.environ.get("CODESPACE_NAME"):
        # The browser knows this machine under another name, and one forwarded port of it.
        domain = os.environ.get("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN", "app.github.dev")
        origin = rf"https://{re.escape(codespace)}-\d+\.{re.escape(domain)}"
        settings.append(f"--ServerApp.allow_origin_pat={origin}")
        os.environ["LAB_JUPYTER"] = "/"
    configs = (str(_CONFIG), os.environ.get("JUPYTER_CONFIG_PATH"))
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, configs))
    os.execv(program, [program, *settings, *page, *options])
