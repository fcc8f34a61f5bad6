"""The labs: which there are."""

from pathlib import Path

import click

from lab_services import paths
from lab_services.errors import LabError
from lab_services.runs.notebook_file import read
from lab_services.stack import catalogue
from lab_services.terminal.text_table import columns


@click.command("list", epilog="Example: lab list")
def list_labs() -> None:
    """List the labs: title, and whether page, notebook and stack are there."""
    stacks, found, pages = set(catalogue.labs()), notebooks(), _found("book", "md")
    names = sorted(stacks | found.keys())
    if not names:
        raise LabError("There is no lab here.", "Run `lab` from a checkout of the project.")
    rows: list[tuple[str, ...]] = [("lab", "title", "page", "notebook", "stack")]
    for name in names:
        there = (name in pages, name in found, name in stacks)
        title = _title(found[name]) if name in found else ""
        rows.append((name, title, *("yes" if each else "no" for each in there)))
    click.echo(columns(rows))


def notebook(lab: str) -> Path:
    """The notebook of a lab. Raises UnknownLab, which names the nearest."""
    found = notebooks()
    if lab not in found:
        catalogue.compose_path(lab)
        raise LabError(f"The lab {lab} has no notebook yet.", "`lab list` shows which have one.")
    return found[lab]


def notebooks() -> dict[str, Path]:
    """The notebook of every lab that has one."""
    return _found("labs", "ipynb")


def _found(tree: str, suffix: str) -> dict[str, Path]:
    files = sorted((paths.repository() / tree).glob(f"*/*.{suffix}"))
    return {f"{file.parent.name}/{file.stem}": file for file in files}


def _title(file: Path) -> str:
    """The first heading of a notebook. Raises LabError for a file that is none."""
    for cell in read(file).cells:
        for line in cell.text.splitlines():
            if cell.cell_type == "markdown" and line.startswith("# "):
                return line.removeprefix("# ").strip()
    return ""
