"""What this machine can do with a stack: the measure for rates, phases and deadlines of a lab."""

from collections.abc import Sequence
from dataclasses import dataclass

from lab_services.errors import LabError
from lab_services.report.rounds import t_interval
from lab_services.report.stats import Interval
from lab_services.traffic.recording import Recording
from lab_services.traffic.request import Request
from lab_services.traffic.running import closed_loop

_PARTS = 5  # each gives a value; their spread gives the interval


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

        Each in five parts, after a sixth that warms up. Raises LabError for too few requests for
        that, and where one of them is not answered correctly.
        """
        if count < _PARTS * users:
            raise LabError(
                f"{count} requests are too few for {users} users in {_PARTS} parts.",
                f"Give count={_PARTS * users} or more, or fewer users.",
            )
        alone = _parts(requests, count, 1, "one caller")
        together = _parts(requests, count, users, f"{users} callers")
        return cls(
            t_interval([float(part.measured["latency"].mean()) for part in alone], "s", least=0),
            t_interval([len(part) / part.seconds for part in together], "requests/s", least=0),
        )

    def rate(self, share: float) -> float:
        """Requests per second that are this share of the capacity."""
        return share * self.capacity.value

    def seconds(self, requests: float, share: float) -> float:
        """How long so many requests take to be sent at this share of the capacity."""
        return requests / self.rate(share)

    def times(self, number: float) -> float:
        """Seconds: so many times the service time."""
        return number * self.service_time.value


def _parts(requests: Sequence[Request], count: int, users: int, title: str) -> list[Recording]:
    found = []
    for _ in range(_PARTS + 1):
        part = closed_loop(requests, users, count=count // _PARTS, title=title)
        if not part.measured["ok"].all():
            failed = part.measured[~part.measured["ok"]].iloc[0]
            raise LabError(
                f"What the stack can do is not known: a request failed ({failed['error']}).",
                "Look at stack.logs(…), or ask for something that it answers.",
            )
        found.append(part)
    return found[1:]
