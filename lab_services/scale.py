"""What this machine can do with a stack: the measure for rates, phases and deadlines of a lab."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lab_services.errors import LabError
from lab_services.report.rounds import t_interval
from lab_services.report.stats import Interval, note
from lab_services.traffic.recording import Recording
from lab_services.traffic.request import Request
from lab_services.traffic.running import closed_loop

_PARTS = 5  # each gives a value; their spread gives the interval
_TRIES = 3  # for a measurement that something else disturbed
# So many of the callers are at work at once where nobody waits for another.
_NOBODY_WAITS = 0.8


@dataclass(frozen=True)
class Scale:
    """How long a request takes by itself, and how many a second can be answered.

    `service_time` in seconds is the mean of a caller who waits for nobody else, with the way
    there and back. `capacity` in requests per second is what comes back while many callers keep
    the stack busy, and beside a generator of traffic, which needs the machine as well. By the
    utilisation law (P. Denning and J. Buzen, ACM Computing Surveys 10, 1978) the busiest part of
    the stack works for 1 / `capacity` seconds at each request.

    >>> scale = Scale.of(traffic.requests(stack.url("proxy", "/predict"), flights))
    >>> traffic.send(requests, traffic.poisson(scale.rate(0.6), scale.seconds(300, 0.6)))
    >>> deadline = scale.times(10)
    """

    service_time: Interval
    capacity: Interval

    @classmethod
    def of(cls, requests: Sequence[Request], *, count: int = 100, users: int = 16) -> "Scale":
        """Measure both: `count` requests by one caller, then `count` by `users` at a time.

        Beginnings and ends, at which not every caller waits for an answer, are sent besides and
        left out. What was disturbed is measured again, at most twice; what still was carries a
        note, and so does the capacity where `users` are too few to keep the stack busy. Raises
        LabError for fewer than ten requests, and where one is not answered correctly.
        """
        if count < 2 * _PARTS or users < 2:
            raise LabError(
                f"{count} requests by {users} users show no capacity.",
                f"Give count={2 * _PARTS} or more, and two users or more.",
            )
        alone = _sent(requests, 1, count + count // _PARTS, "one caller")
        latencies = alone.measured["latency"].to_numpy(dtype=float)[-count:]
        means = [float(part.mean()) for part in np.array_split(latencies, _PARTS)]
        together = _sent(requests, users, count + 2 * users, f"{users} callers")
        scale = cls(
            replace(t_interval(means, "s", least=0), note=note(alone)),
            replace(_capacity(_seconds_each(together, users)), note=note(together)),
        )
        at_work = scale.rate(1) * scale.times(1)
        if at_work <= _NOBODY_WAITS * users:
            return scale
        # A lab goes on: on a busy machine that may be chance, and rates below are right for it.
        told = (
            f"{users} callers hardly wait for each other, {at_work:.1f} of them are served at "
            f"once: the stack may bear more, users={2 * users} would tell"
        )
        capacity = scale.capacity
        noted = "; ".join(filter(None, (capacity.note, told)))
        return replace(scale, capacity=replace(capacity, note=noted))

    def rate(self, share: float) -> float:
        """Requests per second that are this share of the capacity."""
        return share * self.capacity.value

    def seconds(self, requests: float, share: float) -> float:
        """How long so many requests take to be sent at this share of the capacity."""
        return requests / self.rate(share)

    def times(self, number: float) -> float:
        """Seconds: so many times the service time."""
        return number * self.service_time.value


def _sent(requests: Sequence[Request], users: int, count: int, title: str) -> Recording:
    for _ in range(_TRIES):
        recording = closed_loop(requests, users, count=count, title=title)
        if not recording.measured["ok"].all():
            failed = recording.measured[~recording.measured["ok"]].iloc[0]
            raise LabError(
                f"What the stack can do is not known: a request failed ({failed['error']}).",
                "Look at stack.logs(…), or ask for something that it answers.",
            )
        if not recording.disturbed():
            break
    return recording


def _capacity(seconds_each: Sequence[float]) -> Interval:
    """Answers per second, of the seconds from one to the next in each part.

    The mean of the parts' rates would be too high: a part in which answers come in one clump has a
    very high one, and takes hardly any of the time.
    """
    each = t_interval(seconds_each, "s", least=0)
    if not each.known:
        return Interval.unknown(each.note, "requests/s", each.n)
    highest = 1 / each.low if each.low > 0 else math.inf
    return Interval(1 / each.value, 1 / each.high, highest, each.n, "requests/s")


def _seconds_each(recording: Recording, users: int) -> list[float]:
    """From one answer to the next, in each part of the time in which all users wait for one."""
    table = recording.measured
    ends = np.sort((table["started"] + table["response_time"]).to_numpy(dtype=float))
    # At first all ask at once; when nobody asks any more, fewer and fewer wait.
    ends = ends[users - 1 :][ends[users - 1 :] <= table["started"].max()]
    marks: npt.NDArray[np.int64] = np.linspace(0, len(ends) - 1, _PARTS + 1).astype(int)
    return (np.diff(ends[marks]) / np.diff(marks)).tolist()  # type: ignore[no-any-return]
