"""Numbers a lab keeps: they lie in the outputs of the executed notebook and go from there into
the run's file, and from the run into the book's pages."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from IPython.display import display

from lab_services.report import numbers
from lab_services.report.stats import Interval

MIME = "application/vnd.lab-services.measurement+json"
FILE_MIME = "application/vnd.lab-services.file+json"
# Here, because who reads a run needs no matplotlib.
CHART_MIME = "application/vnd.lab-services.chart+json"

_NAME = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")


def checked_name(name: str) -> str:
    """`name`, which pages ask for: small letters, digits, - and _. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name: use small letters and digits, with single - or _ between them."
        )
    return name


@dataclass(frozen=True)
class Measurement:
    """A number under a name."""

    name: str
    interval: Interval

    def __str__(self) -> str:
        return f"kept {self.name}: {self.interval}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": str(self), MIME: {"name": self.name, **as_json(self.interval)}}


def keep(name: str, value: float | Interval | None, unit: str = "") -> None:
    """Keep a number for the run and the book: `keep("p99-one-worker", P99(recording))`.

    A plain number takes its `unit` (s, bytes, share, ratio, requests/s, or any word); an interval
    has its own. What could not be measured is kept as unknown with the reason, an interval's note;
    nan, infinity and None are kept as unknown too. Raises ValueError for a name that is not of
    small letters and digits with single - or _ between them.
    """
    interval = value if isinstance(value, Interval) else Interval.exact(value, unit)
    display(Measurement(checked_name(name), interval))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class File:
    """What is more than a number, under a name."""

    name: str
    content: Mapping[str, Any]

    def __str__(self) -> str:
        return f"handed on {self.name}: {', '.join(self.content)}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        data = {"name": self.name, "content": dict(self.content)}
        return {"text/plain": str(self), FILE_MIME: data}


def keep_file(name: str, content: Mapping[str, Any]) -> None:
    """Keep something as a JSON file of the run, for a page of the book that needs it whole.

    Raises ValueError for a name that `keep` would refuse and for what JSON cannot hold.
    """
    try:
        json.dumps(content, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"{name!r} cannot be handed on: {error}.") from None
    display(File(checked_name(name), content))  # type: ignore[no-untyped-call]


def as_json(interval: Interval) -> dict[str, Any]:
    """The interval for a file; JSON has neither nan nor infinity.

    So an open end is null, and so is the value of what is not known, with the reason in `note`.
    """
    return {
        "value": interval.value if interval.known else None,
        "low": interval.low if math.isfinite(interval.low) else None,
        "high": interval.high if math.isfinite(interval.high) else None,
        "n": interval.n,
        "unit": interval.unit,
        "note": interval.note,
        "text": numbers.written(interval.value, interval.unit, interval.low, interval.high),
        "range": numbers.written_range(interval.value, interval.unit, interval.low, interval.high),
    }


def from_json(data: Mapping[str, Any]) -> Interval:
    """What `as_json` wrote."""
    if data["value"] is None:
        return Interval.unknown(data["note"], data["unit"], data["n"])
    return Interval(
        data["value"],
        -math.inf if data["low"] is None else data["low"],
        math.inf if data["high"] is None else data["high"],
        data["n"],
        data["unit"],
        data["note"],
    )
