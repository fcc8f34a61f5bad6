"""What passes between the caller's process and a generator: plain data in frames on two pipes.

Both sides import this module; it needs the standard library alone, so that a generator starts
without pandas.
"""

from __future__ import annotations  # array[int] can be written so from Python 3.12 only

import pickle
import struct
from array import array
from dataclasses import dataclass, field
from typing import IO, Any

_LENGTH = struct.Struct("!Q")

Target = tuple[str, int]
"""Host and port."""

Address = tuple[int, int, int, Any]
"""Family, type, protocol and address of a socket."""


@dataclass(frozen=True)
class WireRequest:
    """A request as it goes over the wire; `data` is the head and the body."""

    method: str
    target: str
    host: str
    port: int
    data: bytes


@dataclass(frozen=True)
class OpenPlan:
    """Arrivals of one generator. Times are in seconds after the beginning, warm-up below 0."""

    messages: list[WireRequest]
    offsets: array[float]
    request_index: array[int]
    """The place in `messages` of what each arrival sends."""
    arrival_index: array[int]
    """The number of each arrival in the whole run, over all generators."""
    servers: dict[Target, list[Address]]
    timeout: float
    connections: int
    """Opened to each server before the clock runs."""


@dataclass(frozen=True)
class ClosedPlan:
    """Users of one generator, each of whom sends the next request when an answer has come."""

    messages: list[WireRequest]
    users: int
    """Of all generators together."""
    end: float
    """Seconds after the beginning at which no request is started any more; infinite for a count."""
    count: int | None
    """Requests that this generator sends after the warm-up, or None for as many as fit."""
    warmup: float
    servers: dict[Target, list[Address]]
    timeout: float
    role: str
    """"alone", or "master" or "worker" as Locust means them."""
    workers: int = 1
    first: int = 0
    """Where in `messages` this worker begins."""
    master_port: int = 0


Plan = OpenPlan | ClosedPlan


@dataclass
class ResultBatch:
    """Answers in the order in which they came, a column each; times are of the monotonic clock."""

    arrival_index: array[int] = field(default_factory=lambda: array("q"))
    """The arrival (open loop) or the place in `messages` (closed loop)."""
    started: array[float] = field(default_factory=lambda: array("d"))
    ended: array[float] = field(default_factory=lambda: array("d"))
    status: array[int] = field(default_factory=lambda: array("h"))
    size: array[int] = field(default_factory=lambda: array("q"))
    warmup: array[int] = field(default_factory=lambda: array("b"))
    """1 where a request was due before the beginning, though it may have started after that."""
    errors: dict[int, str] = field(default_factory=dict)
    """By place in these columns; an answer without an error has none."""
    by: dict[int, str] = field(default_factory=dict)
    """Likewise: what an answer says of who gave it."""
    sent: int = 0
    """Requests sent since the run began, answered or not."""


@dataclass(frozen=True)
class Done:
    """What a generator says of itself at the end of a run."""

    processor: float
    """Share of one core that it used."""
    waited: int
    """Arrivals that waited because every connection was in use."""
    limit: int
    """The largest number of connections."""
    not_run: list[tuple[float, float]] = field(default_factory=list)
    """From when to when it was not given the processor, by the monotonic clock."""


def write_frame(stream: IO[bytes], kind: str, content: object = None) -> None:
    """Raises OSError when the other side is gone."""
    stream.write(frame(kind, content))
    stream.flush()


def frame(kind: str, content: object = None) -> bytes:
    """As it goes over a pipe."""
    data = pickle.dumps((kind, content), protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def read_frame(stream: IO[bytes]) -> tuple[str, Any] | None:
    """The next frame, or None when the other side is gone."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    if len(data) < length:
        return None
    kind, content = pickle.loads(data)
    return kind, content
