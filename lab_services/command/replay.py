"""A kept run of a lab worked out anew: its live cells keep what they measured."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab_services import paths
from lab_services.command import labs
from lab_services.command.run import settle, show

if TYPE_CHECKING:
    from lab_services.runs.run import Run


@click.command(
    epilog="""\b
    Examples:
      lab replay serving/web-single
      lab replay serving/web-single --runtime docker --runs runs/prove/short

    \b
    Exit codes: those of `lab run`.
    """
)
@click.argument("lab")
@click.option(
    "--runtime",
    type=click.Choice(["docker", "process"]),
    help="The one that the run was made on.  [default: that of the newest]",
)
@click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of kept runs.  [default: runs, in the checkout]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the replayed run is kept.  [default: replayed, in that folder]",
)
def replay(lab: str, runtime: str | None, runs: Path | None, out: Path | None) -> None:
    """Work out the kept run of LAB anew, in seconds and without a stack.

    Cells with the tag `live` give what they measured then; all others are executed as they are now.
    So a change of statistics, charts or claims is seen on real data.
    """
    from lab_services.runs.run import Run, execute_again
    from lab_services.stack.choice import RUNTIMES

    labs.notebook(lab)
    runs = runs or paths.repository() / "runs"
    if runtime is None:
        there = [run for each in RUNTIMES if (run := _kept(runs / each / lab))]
        runtime = max(there, key=lambda run: str(run.data["when"])).runtime if there else "process"
    before = Run.load(runs / runtime / lab)
    now = execute_again(before, lab, out or runs / "replayed")
    show(now)
    was = {claim["text"]: claim["verdict"] for claim in before.claims}
    for claim in now.claims:
        if (verdict := was.get(claim["text"], "not claimed")) != claim["verdict"]:
            click.echo(f"Another verdict: {claim['text']}: {verdict}, now {claim['verdict']}")
    settle(now)


def _kept(folder: Path) -> "Run | None":
    from lab_services.runs.run import Run, RunMissing

    try:
        return Run.load(folder)
    except RunMissing:
        return None
