"""A lab's notebook executed from a terminal, its claims, the run that is kept."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab_services import paths
from lab_services.command import labs
from lab_services.command.stacks import runtime_option
from lab_services.errors import LabError
from lab_services.terminal.text_table import columns

if TYPE_CHECKING:
    from lab_services.runs.run import Run


class NoClaims(LabError):
    """The notebook ran and claimed nothing, which proves nothing."""


class AClaimFails(LabError):
    """At least one claim does not hold, or the check of an exercise errs."""

    exit_code = 3


class NotEnoughEvidence(LabError):
    """No claim fails, but for one at least the run says too little."""

    exit_code = 4


class ACellFails(LabError):
    """The notebook did not come to its end."""

    exit_code = 5


@click.command(
    epilog="""\b
    Examples:
      lab run serving/web-single
      lab run serving/web-single --runtime process --short
      lab run serving/web-single -p rounds=3 -p seconds=10

    \b
    Exit codes:
      0  every claim holds
      3  a claim fails
      4  not enough evidence for a claim: measure longer
      5  a cell fails
    """
)
@click.argument("lab")
@runtime_option
@click.option(
    "--short", "length", flag_value="short", help="Just long enough to judge the claims by."
)
@click.option(
    "--shortest",
    "length",
    flag_value="shortest",
    help="Every cell once, as `make test` does: claims are recorded and not judged.",
)
@click.option(
    "-p", "--parameter", "given", multiple=True, metavar="NAME=VALUE", help="Set a parameter."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of kept runs.  [default: runs, in the checkout]",
)
def run(
    lab: str, runtime: str, length: str | None, given: tuple[str, ...], out: Path | None
) -> None:
    """Execute the notebook of LAB, show the verdict of each claim, keep the run as HTML.

    LAB may also be the path of a notebook. The run replaces the last one of the same lab and
    runtime when it has come to its end; where a cell fails, it is kept beside that one.
    """
    from lab_services.runs.execution import execute
    from lab_services.runs.notebook import Length

    parameters = dict(map(_parameter, given))
    if not lab.endswith(".ipynb"):
        labs.notebook(lab)  # an unknown one is answered with the nearest
    kept = execute(
        lab, runtime, out or paths.repository() / "runs", parameters, Length(length or "full")
    )
    show(kept)
    settle(kept)


def show(kept: "Run") -> None:
    """The claims with verdicts, what it took, and where the run is kept."""
    rows = [
        (claim["verdict"], claim["text"], claim["measured"]["text"], f"claimed {claim['bound']}")
        for claim in kept.claims
    ]
    if rows:
        click.echo(columns(rows))
    seconds, memory = kept.data["seconds"], kept.data["memory"]
    most = "memory not known" if memory is None else f"at most {memory / 1e6:.0f} MB"
    click.echo(f"{kept.lab} on {kept.runtime}: {seconds:.0f} s, {most}")
    click.echo(kept.to_read)


def settle(kept: "Run") -> None:
    """Raises ACellFails, AClaimFails, NotEnoughEvidence or NoClaims unless every claim holds.

    Of the shortest run, which is too short to judge by, ACellFails or NoClaims only.
    """
    from lab_services.runs.notebook import Length

    if kept.failed:
        raise ACellFails(
            kept.failed,
            f"The notebook as far as it came: {kept.notebook}\n"
            "It has replaced no run that is whole.",
        )
    if not kept.claims:
        raise NoClaims(f"{kept.lab} makes no claim.", "A lab ends with claims.check().")
    if kept.length is Length.SHORTEST:
        return
    if failing := kept.failing:
        raise AClaimFails(
            f"Of {len(kept.claims)} claims and {len(kept.data['exercises'])} exercises, "
            f"{len(failing)} fail.",
            _lines(failing),
        )
    if lacking := kept.lacking:
        raise NotEnoughEvidence(
            f"Not enough evidence for {len(lacking)} of {len(kept.claims)} claims.",
            _lines(lacking),
        )


def _lines(reasons: dict[str, str]) -> str:
    return "\n".join(f"{text}: {reason}." for text, reason in reasons.items())


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.UsageError(f"{text!r} is not NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value  # a text needs no quotes
