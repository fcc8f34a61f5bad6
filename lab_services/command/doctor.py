"""`lab doctor`: what works on this machine, and what to do about what does not."""

import click

from lab_services.errors import LabError


class NoLabRuns(LabError):
    """`lab doctor` found what keeps every lab from running."""


@click.command(
    epilog="""\b
    Example: lab doctor

    \b
    ok       works
    limited  some labs or one of the runtimes do not work
    broken   no lab can run; exit code 1
    """
)
def doctor() -> None:
    """Check what a lab needs of this machine, and say what to do about what is missing."""
    from lab_services.command.checks import State, findings

    broken = []
    for each in findings():
        click.echo(f"{each.state:<8} {each.what}: {each.text}")
        if each.remedy:
            click.echo(f"{'':8}   {each.remedy}")
        if each.state is State.BROKEN:
            broken.append(each.what)
    if broken:
        raise NoLabRuns(f"No lab can run here yet: {', '.join(broken)}.", "See the lines above.")
