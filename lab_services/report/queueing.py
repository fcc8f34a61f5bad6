"""What queueing theory expects of a service: waiting, latency, saturation, requests in flight.

Rates are requests per second, times are seconds. `scv` is a squared coefficient of variation
(variance over squared mean): 1 for exponential times and Poisson arrivals, 0 for constant ones.
What is asked of an unknown rate or service time (nan) is nan.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy

Times = npt.NDArray[np.float64]


def erlang_c(servers: int, load: float) -> float:
    """Share of requests that have to wait when Poisson arrivals meet `servers` workers.

    `load` is the mean number of busy workers, rate times service time (erlangs). 1 from
    saturation on. Erlang 1917; Kleinrock, "Queueing Systems" volume 1, 1975, section 3.5. The
    loss formula is a ratio of Poisson probabilities, which stays exact for many workers.
    """
    if servers < 1 or load < 0:
        raise ValueError(f"No queue has {servers} workers and a load of {load}.")
    if load >= servers:
        return 1.0
    # Not by scipy.stats, whose import takes a second of each kernel.
    special = scipy.special
    logarithm = special.xlogy(servers, load) - special.gammaln(servers + 1) - load
    lost = float(np.exp(logarithm) / special.pdtr(servers, load))
    return lost / (1 - load / servers * (1 - lost))


def lindley(arrivals: npt.ArrayLike, services: npt.ArrayLike) -> Times:
    """How long each of these arrivals (sorted, s) waits for one worker with these service times.

    Who comes waits for what is left of the work before: Lindley's recursion (Proceedings of the
    Cambridge Philosophical Society 48, 1952). It says for these very arrivals what a formula says
    for their mean. Raises ValueError for lists of different lengths, and for unsorted arrivals.
    """
    came, takes = np.asarray(arrivals, dtype=float), np.asarray(services, dtype=float)
    if came.shape != takes.shape:
        raise ValueError(f"{len(takes)} services for {len(came)} arrivals.")
    if (np.diff(came) < 0).any():
        raise ValueError("Arrivals are sorted.")
    # The start of each is the running maximum of (arrival - work before), plus the work before.
    before = np.concatenate([[0.0], np.cumsum(takes)[:-1]])[: len(came)]
    return np.asarray(np.maximum.accumulate(came - before) + before - came)


@dataclass(frozen=True)
class Fluid:
    """A queue as a fluid, where far more comes, or too little is done, than chance matters beside.

    Newell, "Applications of Queueing Theory", 2nd edition, 1982, chapter 2. `capacity` is what can
    be served per second. What is asked of an unknown number (nan) is nan.
    """

    capacity: float

    def depth(self, parts: Sequence[tuple[float, float]]) -> tuple[Times, Times]:
        """Corners of the line that the queue's depth follows: seconds, requests.

        `parts` are (arrivals per second, seconds). It grows by what arrives less what can be done,
        and is never below none.
        """
        times, depths = [0.0], [0.0]
        for arrivals, seconds in parts:
            if math.isnan(arrivals - self.capacity) or math.isnan(depths[-1]):
                times.append(times[-1] + seconds)
                depths.append(math.nan)
                continue
            grows, begin, before = arrivals - self.capacity, times[-1], depths[-1]
            if grows < 0 < before and (empty := -before / grows) < seconds:
                times.append(begin + empty)
                depths.append(0.0)
            times.append(begin + seconds)
            depths.append(max(0.0, before + grows * seconds))
        return np.array(times), np.array(depths)

    def drain(self, pile: float, rate: float) -> float:
        """Seconds until a pile of so many requests is worked off while `rate` per second come.

        Infinite where that is no less than the capacity.
        """
        if math.isnan(pile + rate + self.capacity):
            return math.nan
        if pile <= 0:
            return 0.0
        return math.inf if rate >= self.capacity else pile / (self.capacity - rate)

    def timely(self, parts: Sequence[tuple[float, float]], patience: float) -> float:
        """How many are answered within `patience` seconds of waiting; `parts` as in `depth`.

        While the queue takes longer than that, nobody who comes is answered in time: everybody is
        served, late or not. When it has drained so far, they are again.
        """
        good, depth, room = 0.0, 0.0, patience * self.capacity
        for rate, seconds in parts:
            grows = rate - self.capacity
            if math.isnan(grows + room):
                return math.nan
            # What is over the room (below: a negative number) changes by `grows` a second.
            over = depth - room
            if grows > 0:
                timely = min(seconds, max(0.0, -over / grows))
            elif grows < 0:
                timely = seconds - min(seconds, max(0.0, over / -grows))
            else:
                timely = seconds if over <= 0 else 0.0
            good += rate * timely
            depth = max(0.0, depth + grows * seconds)
        return good


@dataclass(frozen=True)
class Queue:
    """One queue in front of `servers` equal workers.

    `service` is what one request keeps a worker busy, in seconds; `overhead` what it takes
    besides while no worker is held (network, balancer), in seconds. With both scv at 1 the
    results are exact (M/M/c); otherwise they are the approximation named at each method.
    """

    servers: int
    service: float
    service_scv: float = 1.0
    arrival_scv: float = 1.0
    overhead: float = 0.0

    def __post_init__(self) -> None:
        if self.servers < 1 or self.service <= 0:
            raise ValueError("A queue needs at least one worker and a service time above 0.")
        if min(self.service_scv, self.arrival_scv, self.overhead) < 0:
            raise ValueError("Squared coefficients of variation and overhead are not negative.")

    @property
    def saturation(self) -> float:
        """The rate at which every worker is busy all the time: servers / service."""
        return self.servers / self.service

    def utilisation(self, rate: float) -> float:
        """Share of the time a worker is busy; above 1 the queue grows without end."""
        return rate / self.saturation

    def waiting_share(self, rate: float) -> float:
        """Share of requests that wait at all (Erlang C)."""
        return erlang_c(self.servers, rate * self.service)

    def mean_wait(self, rate: float) -> float:
        """Mean time in the queue; infinite from saturation on.

        Allen and Cunneen: the M/M/c wait times (arrival_scv + service_scv) / 2. Allen,
        "Probability, Statistics, and Queueing Theory", 2nd edition, 1990; exact for M/M/c and,
        as Pollaczek and Khinchine found, for one worker with Poisson arrivals.
        """
        if rate >= self.saturation:
            return math.inf
        variability = (self.arrival_scv + self.service_scv) / 2
        return self.waiting_share(rate) / (self.saturation - rate) * variability

    def mean_latency(self, rate: float) -> float:
        """Mean wait, service and overhead together."""
        return self.mean_wait(rate) + self.service + self.overhead

    def wait_quantile(self, q: float, rate: float) -> float:
        """Time in the queue that a share `q` of requests stays below.

        Those who wait are taken to wait exponentially long: exact for M/M/c (Kleinrock, volume
        1, section 3.5), the limit of every such queue towards saturation (Kingman, Proceedings
        of the Cambridge Philosophical Society 57, 1961).
        """
        share = self.waiting_share(rate)
        mean = self.mean_wait(rate)
        if math.isinf(mean):
            return math.inf
        return 0.0 if share <= 1 - q or mean == 0 else mean / share * math.log(share / (1 - q))

    def latency_quantile(self, q: float, rate: float) -> float:
        """Wait, service and overhead that a share `q` of requests stays below; infinite from
        saturation on.

        The wait as in `wait_quantile`, and independent of it a service time with the gamma
        distribution of this mean and scv (exponential at 1, constant at 0).
        """
        mean = self.mean_wait(rate)
        if not math.isfinite(mean):
            return mean
        share = self.waiting_share(rate)
        times = self._service_times()
        # Averaged over the service time: what is left of t for the wait decides.
        conditional = mean / share if share > 0 else 0.0

        def slower(t: float) -> float:
            left = t - times
            waited = np.exp(-np.maximum(left, 0) / conditional) if conditional > 0 else 0.0
            return float(np.mean(np.where(left < 0, 1.0, share * waited))) - (1 - q)

        top = float(times[-1]) + self.wait_quantile(q, rate) + 50 * conditional
        return float(scipy.optimize.brentq(slower, 0.0, top)) + self.overhead

    def backlog_wait(self, rate: float, seconds: float) -> float:
        """Above saturation, how long a request waits that arrives after `seconds` of that rate.

        The queue grows by what cannot be served: (rate / saturation - 1) times seconds (`Fluid`).
        """
        grown = (self.utilisation(rate) - 1) * seconds
        return grown if math.isnan(grown) else max(0.0, grown)

    def _service_times(self) -> Times:
        """The service time's quantiles at equal steps of probability, fine enough for p99.9."""
        if self.service_scv == 0:
            return np.full(1, self.service)
        return _gamma_quantiles(1 / self.service_scv) * (self.service * self.service_scv)


@lru_cache(maxsize=32)  # a curve asks for the same at each of its points, and it takes milliseconds
def _gamma_quantiles(shape: float) -> npt.NDArray[np.float64]:
    """The quantiles of the gamma distribution of scale 1 at 20,000 equal steps of probability."""
    found: npt.NDArray[np.float64] = scipy.special.gammaincinv(
        shape, (np.arange(20_000) + 0.5) / 20_000
    )
    return found
