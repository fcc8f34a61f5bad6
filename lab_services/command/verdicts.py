"""How often claims have held, from a terminal."""

from pathlib import Path

import click

from lab_services.terminal.text_table import columns


@click.command(
    epilog="""\b
    Examples:
      lab verdicts verdict_history.json
      lab verdicts verdict_history.json --count runs/prove/full
    """
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--count",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="First add the runs of full length below this folder, each once.",
)
def verdicts(file: Path, folder: Path | None) -> None:
    """Show of which claims FILE says that they hold in less than 99 % of the runs counted."""
    from lab_services.runs import verdict_history

    if folder is not None:
        counted = verdict_history.count(verdict_history.kept(folder), file)
        click.echo(f"{counted} runs counted.")
    found = list(verdict_history.claimed(file))
    rows: list[tuple[str, ...]] = [("held", "lacked evidence", "of", "lab", "runtime", "claim")]
    doubtful = [each for each in found if each.doubtful]
    for each in sorted(doubtful, key=lambda each: each.held / each.drawn):
        numbers = map(str, (each.held, each.lacked, each.drawn))
        rows.append((*numbers, each.lab, each.runtime, each.text))
    click.echo(f"{len(found) - len(doubtful)} of {len(found)} claims hold in 99 % of their runs.")
    if doubtful:
        click.echo(columns(rows))
