"""What theory expects of a cache: its hit rate by size, popularity and eviction policy."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import optimize

Floats = npt.NDArray[np.float64]


def hit_rate(shares: Floats, size: float, *, policy: str = "lru", once: float = 0.0) -> float:
    """The share of hits of a cache with `size` entries, when requests are independent.

    `shares` says how popular each entry is (`traffic.zipf`).
    "lru" is Che's approximation (Che, Tung and Wang, IEEE JSAC 20, 2002): an entry stays until it
    has not been asked for during a time T, the same for all, in which the cache fills. "random" is
    the same with entries thrown out at random, or in the order in which they came (Martina,
    Garetto and Leonardi, INFOCOM 2014; Gelenbe, IEEE Trans. Comp. 22, 1973, that both are equal).
    "lfu" keeps what is asked for most. A share `once` of the requests is for what nobody asks for
    again; it takes a place for the time T all the same, except with "lfu".
    1 where all have room and nothing is asked for once; nan for a size that is not known or not
    above 0, and for one of all with a share of `once`. Raises ValueError for another policy.
    """
    if size >= len(shares) and not once:
        return 1.0
    if not 0 < size < len(shares):
        return math.nan
    rates = (1 - once) * shares
    if policy == "lfu":
        return float(np.sort(rates)[::-1][: round(size)].sum())
    there: dict[str, Callable[[float], Floats]] = {
        "lru": lambda t: -np.expm1(-rates * t),
        "random": lambda t: rates * t / (1 + rates * t),
    }
    if policy not in there:
        raise ValueError(f"There is no theory here of {policy!r}.")
    t = characteristic_time(there[policy], size, once)
    return float((rates * there[policy](t)).sum())


def characteristic_time(there: Callable[[float], Floats], size: float, once: float = 0.0) -> float:
    """After how many requests an entry that nobody asks for leaves a cache of `size` entries.

    `there(t)` is how likely each entry is to be in a cache that forgets after t requests.
    """

    def excess(log_t: float) -> float:
        t = math.exp(log_t)
        return float(there(t).sum()) + once * t - size

    return math.exp(optimize.brentq(excess, -20.0, 60.0))
