"""Which of the running stacks a command is about."""

import contextlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab_services.errors import LabError
from lab_services.stack.catalogue import compose_path
from lab_services.terminal.text_table import columns

if TYPE_CHECKING:
    from lab_services.stack import Stack
    from lab_services.stack.messages import Description
    from lab_services.stack.supervisor_client import SupervisorClient

_IDENT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}")

stack_option = click.option(
    "-s", "--stack", "name", metavar="STACK", help="A lab, or an id of `lab ps`."
)


class NoStack(LabError):
    """Nothing that runs is meant by that name."""


class AmbiguousStack(LabError):
    """Several running stacks are meant; the message lists them."""


@dataclass(frozen=True)
class Running:
    """A stack that runs, as its supervisor describes it."""

    supervisor: "SupervisorClient"
    description: "Description"

    @property
    def ident(self) -> str:
        return self.description.ident

    @property
    def lab(self) -> str:
        return self.description.lab

    @property
    def runtime(self) -> str:
        return self.description.runtime

    @property
    def starter(self) -> str:
        """Who owns it: a terminal's `lab up`, or the process of a notebook or a test."""
        owner = self.supervisor.info.owner
        return "lab up" if owner is None else f"process {owner}"

    @property
    def ready(self) -> str:
        """How many replicas of each service are ready: `proxy 1/1, predictor 1/2`."""
        replicas = self.description.replicas
        total = Counter(each.service for each in replicas)
        ready = Counter(each.service for each in replicas if each.state == "ready")
        return ", ".join(f"{service} {ready[service]}/{count}" for service, count in total.items())

    @property
    def lasting_faults(self) -> str:
        """The faults that have not ended: `kill predictor 2; delay predictor 0.2 s, 100%`."""
        lasting = [each for each in self.description.faults if each.end is None]
        return "; ".join(
            " ".join(str(part) for part in (f.kind, f.service, f.replica, f.detail) if part)
            for f in lasting
        )

    def row(self) -> tuple[str, str, str, str]:
        """Id, lab, runtime and starter, for a table."""
        return (self.ident, self.lab, self.runtime, self.starter)

    def attach(self) -> "Stack":
        """The stack, to be told what to do."""
        from lab_services.stack import Stack

        return Stack.attach(self.supervisor, self.description)


def lab_name(text: str) -> str:
    """A lab's name as it is; the path of a Compose file made absolute, to be known anywhere."""
    return str(Path(text).absolute()) if text.endswith((".yaml", ".yml")) else text


def running() -> list[Running]:
    """Every running stack of this user, whoever started it."""
    from lab_services.stack import orders
    from lab_services.stack.state import StackGone
    from lab_services.stack.supervisor_client import living

    found = []
    for supervisor in living():
        with contextlib.suppress(StackGone):  # it has just gone
            found += [Running(supervisor, each) for each in supervisor.call(orders.List())]
    return found


def choose(name: str | None) -> Running:
    """The running stack of that id or lab; without a name, the only one.

    Raises NoStack, AmbiguousStack, and UnknownLab when there is no such lab at all.
    """
    name = None if name is None else lab_name(name)
    there = running()
    meant = [each for each in there if name in (None, each.ident, each.lab)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        of = f" of {name}" if name else ""
        raise AmbiguousStack(
            f"{len(meant)} stacks{of} run:\n{columns([each.row() for each in meant])}",
            "Name one by its id.",
        )
    if name is None:
        raise NoStack("No stack runs.", "Start one: lab up LAB; `lab list` shows the labs.")
    if _IDENT.fullmatch(name):
        raise NoStack(f"There is no stack {name}.", "`lab ps` shows those that run.")
    compose_path(name)
    raise NoStack(f"No stack of {name} runs.", f"Start one: lab up {name}")
