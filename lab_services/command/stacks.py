"""Stacks from a terminal: up, ps, logs, down."""

import signal
import threading
import time

import click

from lab_services.command.selection import choose, lab_name, running, stack_option
from lab_services.errors import LabError
from lab_services.terminal.text_table import columns

_CLOSE_TIMEOUT = 60.0  # seconds; far more than any stack takes to go

runtime_option = click.option(
    "--runtime",
    type=click.Choice(["auto", "docker", "process"]),
    default="auto",
    show_default=True,
    help="auto: what LAB_RUNTIME says, else Docker where its engine answers.",
)


@click.command(
    epilog="""\b
    Examples:
      lab up serving/web-single
      lab up serving/web-single --runtime process
      lab up my/compose.yaml
    """
)
@click.argument("lab")
@runtime_option
def up(lab: str, runtime: str) -> None:
    """Start the services of LAB (or of a Compose file); they run until `lab down`."""
    from lab_services.stack import Stack
    from lab_services.stack.supervisor_client import SupervisorClient

    lab = lab_name(lab)
    Stack(lab, runtime)  # refuses what cannot start before there is a supervisor to end again
    supervisor = SupervisorClient.begin(alone=True)
    try:
        stack = Stack(lab, runtime, supervisor=supervisor).up()
    except BaseException:
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # an impatient second Ctrl-C leaves no supervisor
        supervisor.close()
        raise
    click.echo(f"{stack}\nid {stack.ident}; end it with: lab down {stack.ident}")


@click.command(
    epilog="""\b
    Examples:
      lab ps
      lab ps serving/web-single
    """
)
@click.argument("stack", required=False)
def ps(stack: str | None) -> None:
    """Show what runs, started by notebooks too; of one STACK, where each replica answers."""
    if stack is not None:
        click.echo(str(choose(stack).attach()))
        return
    there = running()
    if not there:
        click.echo("No stack runs.")
        return
    head = ("id", "lab", "runtime", "started by", "ready", "faults")
    rows = [(*each.row(), each.ready, each.lasting_faults) for each in there]
    click.echo(columns([head, *rows]))


@click.command(
    epilog="""\b
    Examples:
      lab logs
      lab logs predictor --replica 2 --lines 200
    """
)
@click.argument("service", required=False)
@click.option("--replica", type=click.IntRange(min=1), help="One replica only.")
@click.option("--lines", type=click.IntRange(min=1), default=50, show_default=True)
@stack_option
def logs(service: str | None, replica: int | None, lines: int, name: str | None) -> None:
    """Show the last lines that SERVICE wrote; without one, those of every service."""
    stack = choose(name).attach()
    if service is not None:
        click.echo(stack.logs(service, replica, lines))
        return
    for each in dict.fromkeys(found.service for found in stack.states()):
        click.echo(f"--- {each}\n{stack.logs(each, replica, lines)}")


@click.command(
    epilog="""\b
    Examples:
      lab down
      lab down serving/web-single
      lab down --all
    """
)
@click.argument("stack", required=False)
@click.option("--all", "everything", is_flag=True, help="Every stack of yours, and all ever left.")
def down(stack: str | None, everything: bool) -> None:
    """End STACK (a lab, or an id of `lab ps`; the only one that runs if none is named).

    With --all, also the stacks of open notebooks, and whatever was left behind: processes,
    containers, networks, volumes, folders.
    """
    if everything:
        if stack is not None:
            raise click.UsageError("--all takes no STACK.")
        _end_everything()
        return
    chosen = choose(stack)
    from lab_services.stack import orders

    chosen.supervisor.call(orders.Down(chosen.ident))
    click.echo(f"{chosen.lab} ({chosen.ident}) is down.")
    if chosen.supervisor.info.owner is None and not chosen.supervisor.call(orders.List()):
        chosen.supervisor.close()


def _end_everything() -> None:
    from lab_services.stack.prune import prune
    from lab_services.stack.supervisor_client import living

    for each in running():
        click.echo(f"{each.lab} ({each.ident}) goes down.")
    supervisors = living()
    threads = [threading.Thread(target=supervisor.close, daemon=True) for supervisor in supervisors]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _CLOSE_TIMEOUT
    for supervisor, thread in zip(supervisors, threads, strict=True):
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            raise LabError(
                f"The supervisor {supervisor.info.ident}"
                f" (process {supervisor.info.pid}) does not end.",
                f"kill -9 {supervisor.info.pid}, then `lab down --all` again.",
            )
    for line in prune():
        click.echo(f"removed: {line}")
    click.echo("Nothing is left.")
