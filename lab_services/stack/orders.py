"""What a client asks of a supervisor: one JSON object a line, answered by `messages`.

An order's parameter is the type of its result: `List` is an `Order[list[Description]]`.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar, get_args

import msgspec

from lab_services.stack.faults import AnyChange
from lab_services.stack.messages import Description, JobResult, Result, Usage

R = TypeVar("R")


class Order(
    msgspec.Struct,
    Generic[R],
    frozen=True,
    tag=True,
    tag_field="type",
    forbid_unknown_fields=True,
):
    """Anything that a supervisor can be asked."""

    def result(self, told: Result) -> R:
        """What the supervisor gives for this order."""
        (kind,) = get_args(type(self).__orig_bases__[0])  # type: ignore[attr-defined]
        found: R = msgspec.json.decode(told.value, type=kind)
        return found


class Up(Order[Description], frozen=True):
    """Start a stack; it is removed again when it cannot come up or who asked goes.

    `variables` stand for those that the Compose file names.
    """

    lab: str
    path: str
    runtime: str
    variables: Mapping[str, str]


class Down(Order[None], frozen=True):
    """End a stack and remove every trace of it."""

    stack: str


class List(Order[list[Description]], frozen=True):
    """Every stack of the supervisor."""


class Describe(Order[Description], frozen=True):
    """What a stack is and how its replicas are."""

    stack: str


class Address(Order[str], frozen=True):
    """`127.0.0.1:port` of a published port; the service's first one by default."""

    stack: str
    service: str
    port: int | None
    replica: int


class Logs(Order[str], frozen=True):
    """The last lines that a service wrote."""

    stack: str
    service: str
    replica: int | None
    lines: int


class Measure(Order[list[Usage]], frozen=True):
    """Processor time and memory of every replica that runs."""

    stack: str


class Run(Order[JobResult], frozen=True):
    """Run a job of the Compose file to its end; it ends with who asked."""

    stack: str
    service: str


class Do(Order[None], frozen=True):
    """Cause a fault, mend it, change a stack."""

    stack: str
    change: AnyChange


class Leave(Order[None], frozen=True):
    """Go, as if the owner had ended."""


AnyOrder = Up | Down | List | Describe | Address | Logs | Measure | Run | Do | Leave
_decoder = msgspec.json.Decoder(AnyOrder)


def encode(order: Order[R]) -> bytes:
    """The order as a line."""
    return msgspec.json.encode(order) + b"\n"


def decode(line: bytes) -> AnyOrder:
    """The order of a line. Raises msgspec.MsgspecError for what is none."""
    order: AnyOrder = _decoder.decode(line)
    return order
