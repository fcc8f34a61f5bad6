"""What a lab executes, from a terminal: the key and the files."""

from pathlib import Path

import click

from lab_services.command import labs

_PATTERNS = "lab_services/patterns/"
_IMAGE = "lab_services/stack/image/"


@click.command(
    epilog="""\b
    Examples:
      lab inputs serving/web-single          the key and the files
      lab inputs serving/web-single --key    the key alone
    """
)
@click.argument("lab")
@click.option("--key", "key_only", is_flag=True, help="Print the key alone.")
@click.option(
    "--measuring", is_flag=True, help="Of the live cells alone: the others can be replayed."
)
def inputs(lab: str, key_only: bool, measuring: bool) -> None:
    """List the files that LAB executes, and a key that changes when one of them does.

    Of the notebook its code counts, with tags and short mode, and no text.
    """
    from lab_services.runs import inputs

    labs.notebook(lab)
    found = inputs.inputs(lab, measuring=measuring)
    if key_only:
        click.echo(found.key)
        return
    click.echo(f"key: {found.key}")
    for group in ("notebook", "chapter", "shared packages", "image and lock"):
        click.echo(f"\n{group}:")
        for file in found.files:
            if _group(file) == group:
                click.echo(f"  {file.as_posix()}")


def _group(file: Path) -> str:
    name = file.as_posix()
    if name.startswith("labs/"):
        return "notebook"
    if name.startswith(_PATTERNS):
        return "chapter"
    if name.startswith(_IMAGE) or not name.startswith("lab_services/"):
        return "image and lock"
    return "shared packages"
