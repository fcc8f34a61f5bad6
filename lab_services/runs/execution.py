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


def execute(
    lab: str,
    runtime: str,
    out: Path,
    parameters: dict[str, Any] | None = None,
    length: Length = Length.FULL,
) -> run.Run:
    """Execute a lab on a runtime (auto, too) with a line on standard error for each part of it."""
    choice = choose_runtime(runtime)
    click.echo(f"{lab} on {choice.runtime} ({choice.reason})", err=True)
    return run.execute(
        lab,
        runtime=choice.runtime,
        out=out,
        parameters=parameters,
        length=length,
        progress=_Lines(),
        stack_memory=_containers_memory,
    )


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
