"""Faults and changes of a running stack, from a terminal."""

import click

from lab_services.command.group import Lab
from lab_services.command.selection import choose, stack_option

_replica = click.option(
    "--replica", type=click.IntRange(min=1), default=1, show_default=True, help="Which one."
)
_share = click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="The share of requests, in whole percents.",
)
_service = click.argument("service")


@click.group(
    cls=Lab,
    epilog="""\b
    Examples:
      lab fault kill predictor --replica 2
      lab fault delay predictor 0.2 --share 0.1
      lab fault clear predictor
      lab fault scale predictor 4 --stack serving/web-single
    """,
)
def fault() -> None:
    """Break a running stack, mend it, change it.

    The stack keeps each fault with its time, whoever caused it: a notebook's charts shade it.
    """


@fault.command(epilog="Example: lab fault kill predictor --replica 2")
@_service
@_replica
@stack_option
def kill(service: str, replica: int, name: str | None) -> None:
    """SIGKILL a replica of SERVICE: requests in it are lost."""
    choose(name).attach().kill(service, replica)
    mend = f"lab fault start {service} --replica {replica}"
    click.echo(f"{service} {replica} is killed; mend it with: {mend}")


@fault.command(epilog="Example: lab fault start predictor --replica 2")
@_service
@_replica
@stack_option
def start(service: str, replica: int, name: str | None) -> None:
    """Start a replica that has ended, and wait for its answer."""
    choose(name).attach().start(service, replica)
    click.echo(f"{service} {replica} answers.")


@fault.command(epilog="Example: lab fault pause predictor")
@_service
@_replica
@stack_option
def pause(service: str, replica: int, name: str | None) -> None:
    """Freeze a replica: its connections stay open, nothing answers."""
    choose(name).attach().pause(service, replica)
    mend = f"lab fault resume {service} --replica {replica}"
    click.echo(f"{service} {replica} is paused; mend it with: {mend}")


@fault.command(epilog="Example: lab fault resume predictor")
@_service
@_replica
@stack_option
def resume(service: str, replica: int, name: str | None) -> None:
    """Let a paused replica go on."""
    choose(name).attach().resume(service, replica)
    click.echo(f"{service} {replica} goes on.")


@fault.command(epilog="Example: lab fault delay predictor 0.2 --share 0.1")
@_service
@click.argument("seconds", type=click.FloatRange(0, min_open=True))
@_share
@stack_option
def delay(service: str, seconds: float, share: float, name: str | None) -> None:
    """Let the proxy in front of SERVICE hold requests for SECONDS."""
    choose(name).attach().inject_delay(service, seconds, share)
    click.echo(
        f"{service}: {share:.0%} of requests wait {seconds:g} s until: lab fault clear {service}"
    )


@fault.command(epilog="Example: lab fault errors predictor --status 503 --share 0.5")
@_service
@click.option("--status", type=click.IntRange(400, 599), default=503, show_default=True)
@_share
@stack_option
def errors(service: str, status: int, share: float, name: str | None) -> None:
    """Let the proxy in front of SERVICE answer requests with an error."""
    choose(name).attach().inject_errors(service, status, share)
    click.echo(f"{service}: {share:.0%} of requests get {status} until: lab fault clear {service}")


@fault.command(epilog="Example: lab fault clear predictor")
@_service
@stack_option
def clear(service: str, name: str | None) -> None:
    """End delays and errors of SERVICE."""
    choose(name).attach().clear_faults(service)
    click.echo(f"{service} has no delays and errors any more.")


@fault.command(epilog="Example: lab fault scale predictor 4")
@_service
@click.argument("replicas", type=click.IntRange(min=1))
@stack_option
def scale(service: str, replicas: int, name: str | None) -> None:
    """Run that many replicas of SERVICE; returns when they answer."""
    stack = choose(name).attach()
    stack.scale(service, replicas)
    click.echo(str(stack))


@fault.command(epilog="Example: lab fault rollout predictor LATE_ABOVE=0.4")
@_service
@click.argument("changes", nargs=-1, required=True, metavar="NAME=VALUE...")
@stack_option
def rollout(service: str, changes: tuple[str, ...], name: str | None) -> None:
    """Replace the replicas one by one, with a changed environment."""
    wrong = [change for change in changes if not change.partition("=")[0] or "=" not in change]
    if wrong:
        raise click.UsageError(f"{wrong[0]!r} is not NAME=VALUE.")
    stack = choose(name).attach()
    stack.rollout(service, dict(change.split("=", 1) for change in changes))
    click.echo(str(stack))
