"""What a supervisor tells a client: one JSON object a line, each of a type that stands here.

While an order is carried out come `Event`s, then one `Result` or one `Failed`. The data that
results are made of stand here too, so that both ends read the same.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from lab_services.errors import LabError
from lab_services.stack.state import SupervisorInfo

# --- data ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """Something done to a running stack.

    `kind` is the word of its class in `faults`, such as kill; `start` and `end` are Unix seconds on
    the clock of the recordings; `end` is None while the fault lasts.
    """

    kind: str
    service: str
    replica: int | None
    start: float
    end: float | None = None
    detail: str = ""

    def __str__(self) -> str:
        who = f"{self.service} {self.replica}" if self.replica else self.service
        return f"{self.kind} {who}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Replica:
    """One running copy of a service.

    `state` is starting, ready, paused or exited; `ports` maps container ports to those published
    on loopback; `exit_code` is 128 + n after signal n.
    """

    service: str
    number: int
    state: str
    ports: Mapping[int, int]
    exit_code: int | None = None
    ident: str = ""  # process id or container id


@dataclass(frozen=True)
class Usage:
    """What one replica has used: processor seconds since its start, memory in bytes.

    `at` is when that was read, in Unix seconds: an engine may answer a second later.
    """

    service: str
    number: int
    cpu_seconds: float
    memory: int
    at: float


@dataclass(frozen=True)
class JobResult:
    """A job that has ended: its exit code, its output, how many seconds it took."""

    exit_code: int
    output: str
    seconds: float


@dataclass(frozen=True)
class Description:
    """A running stack: its own name on this machine, its Compose file, how its replicas are."""

    ident: str
    lab: str
    runtime: str
    path: str
    replicas: list[Replica]
    faults: list[Fault]


# --- messages -----------------------------------------------------------------------------------


class Message(msgspec.Struct, frozen=True, tag=True, tag_field="type"):
    """Anything that a supervisor tells."""


class Event(Message, frozen=True):
    """Something that happens while an order is carried out."""


class StackStarted(Event, frozen=True):
    """The stack has its name, and can be taken down by it; nothing of it runs yet."""

    ident: str


class ServiceReady(Event, frozen=True):
    """Every replica of a service has answered."""

    service: str


class Progress(Event, frozen=True):
    """What is done now, in words for a reader."""

    text: str


class Begun(Message, frozen=True):
    """A supervisor's first words: it listens."""

    info: SupervisorInfo


class Result(Message, frozen=True):
    """The end of an order, with what it asked for; its type is stated by the order."""

    value: msgspec.Raw


class Failed(Message, frozen=True):
    """The end of an order that could not be carried out: a LabError, of that class."""

    kind: str
    message: str
    hint: str

    @classmethod
    def by(cls, error: LabError) -> "Failed":
        """An error to be told, with the notes that were made to it."""
        notes = getattr(error, "__notes__", [])
        hint = "\n".join(filter(None, [error.hint, *notes]))
        return cls(type(error).__name__, error.message, hint)

    def error(self) -> LabError:
        """The error that was told, of the same class where it is known here."""
        found = next((k for k in _kinds(LabError) if k.__name__ == self.kind), LabError)
        rebuilt = found.__new__(found)
        LabError.__init__(rebuilt, self.message, self.hint)
        return rebuilt


Emit = Callable[[Event], None]

_decoder = msgspec.json.Decoder(StackStarted | ServiceReady | Progress | Begun | Result | Failed)


def encode(message: Message) -> bytes:
    """The message as a line."""
    return msgspec.json.encode(message) + b"\n"


def decode(line: bytes) -> Message:
    """The message of a line."""
    message: Message = _decoder.decode(line)
    return message


def result(value: Any) -> Result:
    """What an order asked for, as a message."""
    return Result(msgspec.Raw(msgspec.json.encode(value)))


def _kinds(base: type[LabError]) -> Iterator[type[LabError]]:
    yield base
    for child in base.__subclasses__():
        yield from _kinds(child)
