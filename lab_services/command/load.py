"""Traffic from a terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab_services.command.selection import choose
from lab_services.errors import LabError
from lab_services.terminal.text_table import columns

if TYPE_CHECKING:
    from lab_services.stack import Stack
    from lab_services.traffic import Recording

_above_zero = click.FloatRange(0, min_open=True)


class NothingAnswered(LabError):
    """Not one request of the traffic got a right answer."""


@click.command(
    epilog="""\b
    Examples:
      lab load serving/web-single
      lab load serving/web-single --rate 40 --seconds 30 --warmup 2
      lab load serving/web-single --service predictor --arrivals constant
      lab load http://127.0.0.1:8080/predict --save recording.csv.gz

    Exit code 1 when not one request was answered rightly.
    """
)
@click.argument("target", metavar="URL|STACK")
@click.option("--rate", type=_above_zero, default=20, show_default=True, help="Requests/s.")
@click.option("--seconds", type=_above_zero, default=10, show_default=True)
@click.option(
    "--arrivals",
    type=click.Choice(["poisson", "constant"]),
    default="poisson",
    show_default=True,
    help="Independent clients, or even distances.",
)
@click.option("--warmup", type=click.FloatRange(0), default=0, help="Seconds sent before it.")
@click.option("--timeout", type=_above_zero, default=10, show_default=True, help="Seconds.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of flights and arrivals.")
@click.option("--flights", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--service", help="Of a stack; else the one that no other service calls.")
@click.option("--port", type=int, help="A container port of it; else its first one.")
@click.option("--path", default="/predict", show_default=True, help="Of a stack's URL.")
@click.option("--generators", type=click.IntRange(1), default=1, help="Processes that send.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Keep every row.")
def load(
    target: str,
    rate: float,
    seconds: float,
    arrivals: str,
    warmup: float,
    timeout: float,
    seed: int,
    flights: int,
    service: str | None,
    port: int | None,
    path: str,
    generators: int,
    save: Path | None,
) -> None:
    """Send real flights to URL, or to a running STACK (a lab, or an id of `lab ps`).

    Requests leave on schedule, however slow the answers are; latency counts from the intended
    start. Each is the POST of a flight that the models have not seen.
    """
    if save is not None and not save.parent.is_dir():
        raise LabError(f"There is no folder {save.parent}.", "Make it, or save elsewhere.")
    if "://" in target:
        url = target
    else:
        stack = choose(target).attach()
        url = stack.url(service or entry(stack), path, port=port)

    from lab_services import traffic
    from lab_services.models import payloads

    requests = traffic.requests(url, payloads.flights(flights, seed=seed))
    if arrivals == "constant":
        schedule = traffic.constant(rate, seconds)
    else:
        schedule = traffic.poisson(rate, seconds, seed=seed)
    try:
        recording = traffic.send(
            requests, schedule, timeout=timeout, warmup=warmup, generators=generators
        )
    except KeyboardInterrupt:
        _show(url, traffic.last(), save)
        raise
    _show(url, recording, save)
    if not recording.table["ok"].any():
        errors = recording.table["error"].value_counts()
        raise NothingAnswered(
            f"Not one of {len(recording)} requests was answered rightly.",
            f"Most of them: {errors.index[0]}",
        )


def entry(stack: "Stack") -> str:
    """The service that clients talk to: it publishes a port and no other service calls it.

    Raises LabError when that does not name exactly one.
    """
    from lab_services.stack import topology

    called = {call.callee for call in topology.calls(stack.compose)}
    services = stack.compose.services.values()
    open_to_all = [s.name for s in services if s.ports and not s.is_job and s.name not in called]
    if len(open_to_all) != 1:
        raise LabError(
            f"Which service of {stack.lab} is meant?",
            f"Say --service with one of: {', '.join(s.name for s in services if s.ports)}.",
        )
    return open_to_all[0]


def _show(url: str, recording: "Recording", save: Path | None) -> None:
    from lab_services.report import stats

    shown = {
        "requests": f"{len(recording.measured)} in {recording.seconds:.1f} s to {url}",
        "throughput": stats.throughput(recording),
        "errors": stats.error_share(recording),
        "latency p50": stats.quantile(recording, 0.5),
        "latency p95": stats.quantile(recording, 0.95),
        "latency p99": stats.quantile(recording, 0.99),
    }
    statuses = recording.measured["status"].value_counts().sort_index().to_dict()
    shown["answers"] = ", ".join(f"{n} x {status or 'none'}" for status, n in statuses.items())
    if told := stats.note(recording):
        shown["note"] = told
    click.echo(columns([(name, str(value)) for name, value in shown.items()]))
    if save is not None:
        click.echo(f"saved       {recording.save(save)}")
