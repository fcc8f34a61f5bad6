"""A lab's notebook executed on a runtime, as the command line and the book's build do it."""

import contextlib
import time
from pathlib import Path
from typing import Any

import click
import psutil

from lab_services.errors import LabError
from lab_services.runs import run
from lab_services.runs.notebook import Length
from lab_services.runs.papermill_engine import CellProgress
from lab_services.stack import orders
from lab_services.stack.choice import choose_runtime
from lab_services.stack.supervisor_client import living

# How often a lab is measured again because something else had too much of the machine.
_AGAIN = 2


def execute(
    lab: str,
    runtime: str,
    out: Path,
    parameters: dict[str, Any] | None = None,
    length: Length = Length.FULL,
) -> run.Run:
    """Execute a lab on a runtime (auto, too) with a line on standard error for each part of it.

    Where a claim then lacks evidence because the measurement was disturbed, it is executed again,
    at most twice, and the last run is kept. The shortest form is not, for it judges no claim.
    """
    choice = choose_runtime(runtime)
    click.echo(f"{lab} on {choice.runtime} ({choice.reason})", err=True)

    def once() -> run.Run:
        return run.execute(
            lab,
            runtime=choice.runtime,
            out=out,
            parameters=parameters,
            length=length,
            progress=_Lines(),
            stack_memory=_containers_memory,
        )

    made = once()
    for again in range(1, _AGAIN + 1):
        if length is Length.SHORTEST or made.failed or not (why := made.disturbed):
            break
        click.echo(f"{why}\nMeasured again, {again} of at most {_AGAIN} times.", err=True)
        made = once()
    return made


class _Lines:
    """One line for each part of the notebook, as it begins: seconds, cell, heading."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._heading = ""

    def __call__(self, progress: CellProgress) -> None:
        if progress.heading != self._heading:
            self._heading = progress.heading
            seconds = time.monotonic() - self._begin
            place = f"cell {progress.cell}/{progress.cells}"
            click.echo(f"{seconds:5.0f} s  {place:<11}  {progress.heading}", err=True)


def _containers_memory() -> int:
    """Bytes used by the containers of the notebook's stacks: they are no children of ours."""
    ours = {child.pid for child in psutil.Process().children(recursive=True)}
    used = 0
    for supervisor in living():
        if supervisor.info.owner in ours:
            # A stack or a replica that goes while it is asked is left out of this one look.
            with contextlib.suppress(LabError):
                for stack in supervisor.call(orders.List()):
                    if stack.runtime == "docker":
                        usage = supervisor.call(orders.Measure(stack.ident))
                        used += sum(each.memory for each in usage)
    return used
