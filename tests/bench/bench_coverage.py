"""How often 95 % intervals hold the truth: comparisons of dependent requests, in drifting rounds.

    python tests/bench/bench_coverage.py

Prints the share of 2,000 simulated comparisons whose interval holds the true difference, which is
none, and exits with 1 where it is outside of 93 to 97 %. Latencies are lognormal and depend on
their neighbours like those of a queue (a correlation of 0.9 from one to the next). Rounds drift by
a fifth, all that is measured in a round alike, and each arm by some per cent on its own; of what
one round alone has drifted no interval can know, so there is none. A p99 of 2,000 requests rests on
20 of them, which come in clumps: its share is printed and has no bar.
"""

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy.signal import lfilter

from lab_services.report import leaving_out, requests_needed
from lab_services.report.bootstrap import Series
from lab_services.report.stats import MEAN, P50, P95, P99, Statistic

DRAWS = 2000
REQUESTS = 2000
BAR = (0.93, 0.97)
CORRELATION, SPREAD = 0.9, 0.3
COMMON, OWN = 0.2, 0.03
SLOW = 1.3  # what counts as slow, beside a median of 1

Combine = Callable[[Sequence[Series]], float]


def times(statistic: Statistic, pair: Sequence[Series]) -> float:
    return math.log(statistic.of(pair[0]) / statistic.of(pair[1]))


def more(pair: Sequence[Series]) -> float:
    return float((pair[0] > SLOW).mean() - (pair[1] > SLOW).mean())


QUANTITIES: dict[str, tuple[Combine, int]] = {
    "ratio of p50": (partial(times, P50), requests_needed(0.5)),
    "ratio of p95": (partial(times, P95), requests_needed(0.95)),
    "ratio of p99": (partial(times, P99), requests_needed(0.99)),
    "ratio of means": (partial(times, MEAN), 2),
    "difference of shares": (more, 2),
}


def arm(random: np.random.Generator, drifts: Sequence[float]) -> list[Series]:
    """Latencies of one of the two that are compared, round by round."""
    rounds = []
    for drift in drifts:
        noise = random.normal(size=REQUESTS // len(drifts))
        noise[1:] *= math.sqrt(1 - CORRELATION**2)
        related = lfilter([1], [1, -CORRELATION], noise)
        own = OWN * random.normal() if len(drifts) > 1 else 0.0
        rounds.append(np.exp(SPREAD * related + drift + own))
    return rounds


def holds(random: np.random.Generator, rounds: int) -> dict[str, bool]:
    """Whether each interval of one comparison holds the truth."""
    drifts = COMMON * random.normal(size=rounds)
    arms = [arm(random, drifts), arm(random, drifts)]
    found = {}
    for name, (combine, enough) in QUANTITIES.items():
        _, low, high = leaving_out.interval(arms, combine, enough)
        found[name] = low <= 0 <= high
    return found


def main() -> int:
    failed = 0
    for rounds in (1, 5, 8):
        random = np.random.default_rng(rounds)
        drawn = [holds(random, rounds) for _ in range(DRAWS)]
        for name in QUANTITIES:
            share = sum(each[name] for each in drawn) / DRAWS
            inside = "p99" in name or BAR[0] <= share <= BAR[1]
            failed += not inside
            print(f"{rounds} rounds  {name:22} {share:6.1%}{'' if inside else '  NOT REACHED'}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
