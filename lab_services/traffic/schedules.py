"""When requests are sent: arrival times drawn once, so that one seed gives the same bytes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab_services.errors import LabError

Offsets = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Schedule:
    """Arrivals of an open loop: they do not wait for answers.

    `offsets` are seconds after the beginning, sorted; `seconds` is how long the schedule lasts,
    its last gap included. Schedules are appended with `+`.

    >>> traffic.constant(100, 5) + traffic.poisson(200, 5, seed=1)
    Schedule(constant 100/s + poisson 200/s: 1491 arrivals in 10 s)
    """

    offsets: Offsets
    seconds: float
    name: str

    @property
    def rate(self) -> float:
        """Mean arrivals per second."""
        return len(self.offsets) / self.seconds

    def __len__(self) -> int:
        return len(self.offsets)

    def __add__(self, other: "Schedule") -> "Schedule":
        if not isinstance(other, Schedule):
            return NotImplemented
        return Schedule(
            np.concatenate([self.offsets, other.offsets + self.seconds]),
            self.seconds + other.seconds,
            f"{self.name} + {other.name}",
        )

    def __repr__(self) -> str:
        return f"Schedule({self.name}: {len(self)} arrivals in {self.seconds:g} s)"


def constant(rate: float, seconds: float) -> Schedule:
    """`rate` arrivals per second at even distances, the first at once.

    Raises LabError for a rate or a time that is not a number above 0.

    >>> traffic.constant(50, 10)
    Schedule(constant 50/s: 500 arrivals in 10 s)
    """
    _above_zero(rate=rate, seconds=seconds)
    # The small part keeps 100 * 0.07 = 7.000000000000001 from becoming eight arrivals.
    count = math.ceil(rate * seconds - 1e-9)
    return Schedule(np.arange(count) / rate, float(seconds), f"constant {rate:g}/s")


def poisson(rate: float, seconds: float, seed: int = 0) -> Schedule:
    """Arrivals of independent clients: exponential gaps with a mean of 1 / `rate` seconds.

    Raises LabError for a rate or a time that is not a number above 0.

    >>> traffic.poisson(100, 10, seed=7)
    Schedule(poisson 100/s: 1018 arrivals in 10 s)
    """
    _above_zero(rate=rate, seconds=seconds)
    offsets = _arrivals(rate * seconds, lambda expected: expected / rate, seed)
    return Schedule(offsets, float(seconds), f"poisson {rate:g}/s")


def steps(parts: Sequence[tuple[float, float]], seed: int = 0) -> Schedule:
    """Poisson arrivals whose rate changes in steps: `parts` are pairs (rate per s, seconds).

    A rate of 0 is a pause. Raises LabError for a negative rate, a time that is not above 0, and
    when no part has a rate.

    >>> traffic.steps([(50, 5), (200, 5), (50, 5)])
    Schedule(steps 50, 200, 50/s: 1468 arrivals in 15 s)
    """
    for rate, seconds in parts:
        _not_negative(rate=rate)
        _above_zero(seconds=seconds)
    if not any(rate > 0 for rate, _ in parts):
        raise LabError(
            "A schedule of steps needs at least one step with a rate above 0.",
            "Give pairs of (requests per second, seconds): traffic.steps([(50, 5), (200, 5)]).",
        )
    rates, lengths = np.array(parts, dtype=float).T
    times = np.concatenate([[0.0], np.cumsum(lengths)])
    expected = np.concatenate([[0.0], np.cumsum(rates * lengths)])
    # A pause repeats a value of `expected`, which interp cannot invert: keep its end.
    kept = np.append(np.diff(expected) > 0, True)
    starts, totals = times[:-1][kept[:-1]], expected[:-1][kept[:-1]]
    active = rates[kept[:-1]]

    def when(total: Offsets) -> Offsets:
        part = np.searchsorted(totals, total, side="right") - 1
        times: Offsets = starts[part] + (total - totals[part]) / active[part]
        return times

    name = f"steps {', '.join(f'{rate:g}' for rate in rates)}/s"
    return Schedule(_arrivals(expected[-1], when, seed), float(times[-1]), name)


def ramp(start: float, end: float, seconds: float, seed: int = 0) -> Schedule:
    """Poisson arrivals whose rate goes evenly from `start` to `end` per second.

    Raises LabError for a negative rate, when both are 0, and for a time that is not above 0.

    >>> traffic.ramp(10, 300, 20)
    Schedule(ramp 10 to 300/s: 3056 arrivals in 20 s)
    """
    _not_negative(start=start, end=end)
    _above_zero(seconds=seconds, **{"the larger of start and end": max(start, end)})
    slope = (end - start) / seconds

    def when(total: Offsets) -> Offsets:
        # start * t + slope * t^2 / 2 = total, in the form that holds for a slope of 0 too
        return 2 * total / (start + np.sqrt(np.maximum(start**2 + 2 * slope * total, 0.0)))

    offsets = _arrivals((start + end) / 2 * seconds, when, seed)
    return Schedule(offsets, float(seconds), f"ramp {start:g} to {end:g}/s")


def bursts(
    base: float, peak: float, every: float, length: float, seconds: float, seed: int = 0
) -> Schedule:
    """Poisson arrivals at `base` per second; every period ends with a burst at `peak` per second.

    A period has `every` seconds, and the burst is the last `length` of them.

    Raises LabError for a negative rate and for a burst that does not fit into its period.

    >>> traffic.bursts(50, 400, every=10, length=2, seconds=30)
    Schedule(bursts 50 to 400/s: 3523 arrivals in 30 s)
    """
    _above_zero(every=every, length=length, seconds=seconds)
    if length >= every:
        raise LabError(
            f"A burst of {length:g} s does not fit into a period of {every:g} s.",
            "Take a length below `every`.",
        )
    parts: list[tuple[float, float]] = []
    left = seconds
    while left > 1e-9:
        for rate, time in ((base, every - length), (peak, length)):
            if left > 1e-9:
                parts.append((rate, min(time, left)))
                left -= time
    drawn = steps(parts, seed)
    return Schedule(drawn.offsets, float(seconds), f"bursts {base:g} to {peak:g}/s")


def _arrivals(expected: float, when: Callable[[Offsets], Offsets], seed: int) -> Offsets:
    """Arrivals of a Poisson process with `expected` arrivals in all.

    A process of rate 1 is drawn on the axis of expected arrivals and carried to the axis of time
    by `when`, the inverse of the integrated rate (Cinlar 1975, Introduction to Stochastic
    Processes, chapter 4: Poisson processes that are not stationary).
    """
    random = np.random.default_rng(seed)
    size = int(expected + 6 * math.sqrt(expected) + 16)
    total = np.cumsum(random.exponential(size=size))
    while total[-1] < expected:
        total = np.concatenate([total, total[-1] + np.cumsum(random.exponential(size=size))])
    return when(total[total < expected])


def _above_zero(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise LabError(
                f"A schedule cannot have {name} = {value:g}.", f"Give {name} a number above 0."
            )


def _not_negative(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise LabError(
                f"A schedule cannot have {name} = {value:g}.", f"Give {name} a number from 0 up."
            )
