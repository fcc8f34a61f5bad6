"""The live part of the lab: traffic in phases, and what Prometheus remembers of its alarms."""

import math
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

from lab_services.report.stats import Interval
from lab_services.stack import Stack
from lab_services.traffic.parts import places
from lab_services.traffic.request import Request
from lab_services.traffic.schedules import Schedule, poisson

STEP = 0.25  # seconds between two values that are asked for: half of an evaluation

Flight = Mapping[str, Any]
Span = tuple[float, float]


class Phase(NamedTuple):
    """Some seconds of traffic, and what happens to each flight on its way to the predictor."""

    name: str
    seconds: float
    change: Callable[[Flight], Flight] = dict


def traffic_in(
    phases: Sequence[Phase], url: str, flights: Sequence[Flight], rate: float, seed: int = 0
) -> tuple[list[Request], Schedule]:
    """One request for each arrival, changed as its phase says, and their schedule."""
    schedule = poisson(rate, sum(phase.seconds for phase in phases), seed)
    of_each = places([phase[:2] for phase in phases], schedule)
    return [
        Request(url, json=phases[place].change(flight), labels={"phase": phases[place].name})
        for place, flight in zip(of_each, cycle(flights), strict=False)
    ], schedule


class Memory:
    """What the stack's Prometheus remembers of the seconds from `begin` (Unix) on."""

    def __init__(self, stack: Stack, begin: float, seconds: float) -> None:
        self._stack = stack
        self._begin, self._seconds = begin, seconds
        found = self.ask("rules")["groups"]
        self.watches = {rule["name"]: group["name"] for group in found for rule in group["rules"]}

    def firing(self) -> dict[str, list[Span]]:
        """When each alarm was on, in seconds after the beginning; every alarm has an entry."""
        on: dict[str, list[Span]] = {name: [] for name in self.watches}
        found = self.series('max by (alertname) (ALERTS{alertstate="firing"})')
        for labels, values in found:
            on[labels["alertname"]] = joined([at for at, _ in values])
        return on

    def mean(self, expression: str, span: Span) -> float:
        """The mean of an expression over a span; nan where it had no value."""
        values = self._during(expression, span)
        return sum(values) / len(values) if values else float("nan")

    def counted(self, expression: str, span: Span) -> int:
        """By how much a counter grew over a span; 0 where it was not there."""
        values = self._during(expression, span)
        return round(values[-1] - values[0]) if values else 0

    def _during(self, expression: str, span: Span) -> list[float]:
        return [
            value
            for _, found in self.series(expression)
            for at, value in found
            if span[0] <= at < span[1]
        ]

    def series(self, expression: str) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """Labels and (seconds, value) of each series that an expression gives."""
        answer = self.ask(
            "query_range",
            query=expression,
            start=self._begin,
            end=self._begin + self._seconds,
            step=STEP,
        )
        return [
            (
                found["metric"],
                [(float(at) - self._begin, float(value)) for at, value in found["values"]],
            )
            for found in answer["result"]
        ]

    def ask(self, what: str, **query: Any) -> Any:
        path = f"/api/v1/{what}?{urllib.parse.urlencode(query)}"
        return self._stack.json("prometheus", path)["data"]


def joined(times: Sequence[float]) -> list[Span]:
    """Times at steps of STEP, as spans without a gap."""
    found: list[Span] = []
    for at in times:
        if found and at - found[-1][1] <= 1.5 * STEP:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def seconds_on(on: Sequence[Span], during: Span) -> float:
    """For how long something was on during a span."""
    return sum(max(0.0, min(end, during[1]) - max(begin, during[0])) for begin, end in on)


def first_on(on: Sequence[Span], during: Span) -> float:
    """Seconds from the beginning of a span until something is on; infinite where it never is."""
    begins = [
        max(begin, during[0]) - during[0]
        for begin, end in on
        if end >= during[0] and begin < during[1]
    ]
    return min(begins, default=float("inf"))


def delay(seconds: float) -> Interval:
    """Seconds to an alarm; unknown where it stayed silent (infinite)."""
    if math.isinf(seconds):
        return Interval.unknown("no alarm while it lasted", "s")
    return Interval.exact(seconds, "s")


def graph(address: str, *expressions: str, minutes: int = 2) -> str:
    """The address of Prometheus's own page, with a graph for each expression."""
    parts: dict[str, str] = {}
    for number, expression in enumerate(expressions):
        parts[f"g{number}.expr"] = expression
        parts[f"g{number}.tab"] = "0"
        parts[f"g{number}.range_input"] = f"{minutes}m"
    return f"{address}/graph?{urllib.parse.urlencode(parts)}"
