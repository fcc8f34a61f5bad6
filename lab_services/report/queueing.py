"""What queueing theory expects of a service: waiting, latency, saturation, requests in flight.

Rates are requests per second, times are seconds. `scv` is a squared coefficient of variation
(variance over squared mean): 1 for exponential times and Poisson arrivals, 0 for constant ones.
What is asked of an unknown rate or service time (nan) is nan.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy


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
    lost = float(scipy.stats.poisson.pmf(servers, load) / scipy.stats.poisson.cdf(servers, load))
    return lost / (1 - load / servers * (1 - lost))


def in_flight(rate: float, latency: float) -> float:
    """Mean number of requests inside, waiting or served: rate times mean latency.

    Little, Operations Research 9, 1961. Holds for any arrivals, service times and order.
    """
    return rate * latency


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

        The queue grows by what cannot be served: (rate / saturation - 1) times seconds, the
        fluid limit (Newell, "Applications of Queueing Theory", 2nd edition, 1982, chapter 2).
        """
        grown = (self.utilisation(rate) - 1) * seconds
        return grown if math.isnan(grown) else max(0.0, grown)

    def _service_times(self) -> npt.NDArray[np.float64]:
        """The service time's quantiles at equal steps of probability, fine enough for p99.9."""
        if self.service_scv == 0:
            return np.full(1, self.service)
        return _gamma_quantiles(1 / self.service_scv) * (self.service * self.service_scv)


@lru_cache(maxsize=32)  # a curve asks for the same at each of its points, and it takes milliseconds
def _gamma_quantiles(shape: float) -> npt.NDArray[np.float64]:
    """The quantiles of the gamma distribution of scale 1 at 20,000 equal steps of probability."""
    found: npt.NDArray[np.float64] = scipy.stats.gamma.ppf(
        (np.arange(20_000) + 0.5) / 20_000, shape
    )
    return found
