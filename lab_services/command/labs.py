"""The labs: which there are, and JupyterLab opened on one."""

import json
import os
import shutil
import sys
from pathlib import Path

import click

from lab_services import paths
from lab_services.command.columns import columns
from lab_services.errors import LabError
from lab_services.stack import catalogue


@click.command("list", epilog="Example: lab list")
def list_labs() -> None:
    """List the labs: title, and whether page, notebook and stack are there."""
    stacks, notebooks, pages = set(catalogue.labs()), _found("labs", "ipynb"), _found("book", "md")
    names = sorted(stacks | notebooks.keys())
    if not names:
        raise LabError("There is no lab here.", "Run `lab` from a checkout of the project.")
    rows: list[tuple[str, ...]] = [("lab", "title", "page", "notebook", "stack")]
    for name in names:
        there = (name in pages, name in notebooks, name in stacks)
        title = _title(notebooks[name]) if name in notebooks else ""
        rows.append((name, title, *("yes" if each else "no" for each in there)))
    click.echo(columns(rows))


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
    """Open JupyterLab on the labs, or on LAB; OPTIONS are JupyterLab's own.

    JupyterLab runs until Ctrl-C, and its notebooks' stacks end with it.
    """
    if lab is not None and lab.startswith("-"):
        options, lab = (lab, *options), None
    folder = paths.repository() / "labs"
    # Not as an argument, which only the browser that it opens itself is told of.
    page = []
    if lab is not None:
        page = [f"--LabApp.default_url=/lab/tree/{notebook(lab).relative_to(folder)}"]
    program = shutil.which("jupyter-lab", path=str(Path(sys.executable).parent))
    if program is None:
        raise LabError("JupyterLab is not in this environment.", "`make env` installs it.")
    sys.stdout.flush()
    settings = [
        f"--ServerApp.root_dir={folder}",
        # A lab asks nobody but its own services.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if os.geteuid() == 0:
        # In many containers root is the only user; the server listens on loopback, with a token.
        settings.append("--allow-root")
    os.execv(program, [program, *settings, *page, *options])


def notebook(lab: str) -> Path:
    """The notebook of a lab. Raises UnknownLab, which names the nearest."""
    notebooks = _found("labs", "ipynb")
    if lab not in notebooks:
        catalogue.compose_path(lab)
        raise LabError(f"The lab {lab} has no notebook yet.", "`lab list` shows which have one.")
    return notebooks[lab]


def _found(tree: str, suffix: str) -> dict[str, Path]:
    files = sorted((paths.repository() / tree).glob(f"*/*.{suffix}"))
    return {f"{file.parent.name}/{file.stem}": file for file in files}


def _title(file: Path) -> str:
    """The first heading of a notebook."""
    for cell in json.loads(file.read_text())["cells"]:
        for line in "".join(cell["source"]).splitlines():
            if cell["cell_type"] == "markdown" and line.startswith("# "):
                return line.removeprefix("# ").strip()
    return ""
