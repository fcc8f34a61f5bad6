"""How often 95 % intervals hold the truth: comparisons of dependent requests, in drifting rounds.

    python tests/bench/bench_coverage.py

Prints the share of 2,000 simulated comparisons whose interval holds the true difference, which is
none, and exits with 1 where it is outside of its bar: 93 to 97 %, and of p99 88 to 97 %, as 2,000
requests have 20 beyond it, which come in clumps. Latencies are lognormal and depend on their
neighbours (a correlation of 0.9 from one to the next). Rounds drift by a fifth, all that is
measured in a round alike, and each arm by some per cent on its own; of what one round alone has
drifted no interval can know, so there is none. Two to four rounds tell too little of that: theirs
are printed and have no bar.

What is no comparison follows, from five rounds on: the capacity of a queue that is never empty, the
slope of a cost by size, and the time in which a queue drains after a fault. There the drift of the
rounds does not cancel, and the interval has to hold the mean over all rounds that there could be:
of the time to drain the geometric one, since a slow round drains much later than a fast one does
sooner.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter

from lab_services.report import (
    MEAN,
    P50,
    P95,
    P99,
    THROUGHPUT,
    Answered,
    Interval,
    Line,
    difference,
    geometric_mean,
    ratio,
    t_interval,
    throughput,
)

DRAWS = 2000
REQUESTS = 2000
BAR, BAR_OF_TAIL = (0.93, 0.97), (0.88, 0.97)
TAIL = "ratio of p99"
ROUNDS = (1, 2, 3, 4, 5, 8)
TOO_FEW = (2, 3, 4)
CORRELATION, SPREAD = 0.9, 0.3
COMMON, OWN = 0.2, 0.03
PROMPT = Answered(1.3)  # beside a median of 1

SIZES = (1, 4, 16, 64)  # of the requests of the slope
FIXED, EACH = 5.0, 0.1  # what one costs, in units of the mean request
AT_WORK = 16  # requests that are never answered before others have come: a closed loop
BACKLOG, LOAD = 100, 0.3  # what a fault has left, and what comes while it drains

Series = npt.NDArray[np.float64]
Arms = tuple[pd.DataFrame, pd.DataFrame]
QUANTITIES: dict[str, Callable[[Arms], tuple[Interval, float]]] = {
    "ratio of p50": lambda arms: (ratio(*arms, P50), 1.0),
    "ratio of p95": lambda arms: (ratio(*arms, P95), 1.0),
    "ratio of p99": lambda arms: (ratio(*arms, P99), 1.0),
    "difference of means": lambda arms: (difference(*arms, MEAN), 0.0),
    "difference of shares": lambda arms: (difference(*arms, PROMPT), 0.0),
    "ratio of capacities": lambda arms: (ratio(busy(arms[0]), busy(arms[1]), THROUGHPUT), 1.0),
}


def related(random: np.random.Generator, size: int) -> Series:
    """Normal numbers, each of which depends on those before it."""
    noise = random.normal(size=size)
    noise[1:] *= math.sqrt(1 - CORRELATION**2)
    found: Series = lfilter([1], [1, -CORRELATION], noise)
    return found


def arm(random: np.random.Generator, drifts: Sequence[float]) -> pd.DataFrame:
    """The requests of one of the two that are compared, a hundred a second."""
    size = REQUESTS // len(drifts)
    found = []
    for number, drift in enumerate(drifts):
        own = OWN * random.normal() if len(drifts) > 1 else 0.0
        found.append((number, np.exp(SPREAD * related(random, size) + drift + own)))
    return pd.DataFrame(
        {
            "intended": np.arange(size * len(drifts)) / 100,
            "latency": np.concatenate([latency for _, latency in found]),
            "ok": True,
            "round": np.repeat([number for number, _ in found], size),
        }
    )


def busy(requests: pd.DataFrame) -> pd.DataFrame:
    """The same times as those of work: one worker, before whom AT_WORK callers stand."""
    parts = []
    for _, part in requests.groupby("round", sort=False):
        done = part["latency"].cumsum().to_numpy()
        asked = np.concatenate([np.zeros(AT_WORK), done[:-AT_WORK]])
        parts.append(part.assign(intended=asked, latency=done - asked))
    return pd.concat(parts)


def mean_over_rounds(power: float) -> float:
    """The mean of a time to this power, over requests of all rounds: both are lognormal."""
    return math.exp(power * SPREAD**2 / 2) * math.exp(power**2 * (COMMON**2 + OWN**2) / 2)


def slope(random: np.random.Generator, drifts: Sequence[float]) -> Interval:
    """What one more costs: in each round some requests of each size, and a line through them."""
    count = REQUESTS // len(drifts) // len(SIZES)

    def cost(size: int, drift: float) -> float:
        own = drift + OWN * random.normal()
        each = np.exp(SPREAD * related(random, count) + own)
        return float((FIXED + EACH * size) * each.mean())

    lines = [Line.through({size: cost(size, drift) for size in SIZES}) for drift in drifts]
    return t_interval([line.each for line in lines])


def drains(random: np.random.Generator, drifts: Sequence[float]) -> Interval:
    """How long a queue takes to drain after a fault, as the geometric mean of the rounds."""
    times = []
    for drift in drifts:
        work = np.exp(SPREAD * related(random, 20 * BACKLOG) + drift + OWN * random.normal())
        done = work.cumsum()
        came = random.exponential(1 / LOAD, size=len(work)).cumsum()
        # After each answer: those that were there at first, and who has come, less the answered.
        left = BACKLOG + np.searchsorted(came, done) - np.arange(1, len(work) + 1)
        times.append(float(done[np.argmax(left <= 0)]))
    return geometric_mean(times)


def long_run(measure: Callable[[np.random.Generator, Sequence[float]], Interval]) -> float:
    """The truth of what no formula gives: the mean of very many rounds."""
    random = np.random.default_rng(1)
    return measure(random, COMMON * random.normal(size=20_000)).value


def alone(random: np.random.Generator, rounds: int, truths: Mapping[str, float]) -> dict[str, bool]:
    """Whether each interval of what is no comparison holds the truth."""
    drifts = COMMON * random.normal(size=rounds)
    found = {
        "capacity": throughput(busy(arm(random, drifts))),
        "slope": slope(random, drifts),
        "time to drain": drains(random, drifts),
    }
    return {name: each.low <= truths[name] <= each.high for name, each in found.items()}


def holds(random: np.random.Generator, rounds: int) -> dict[str, bool]:
    """Whether each interval of one comparison holds the truth."""
    drifts = COMMON * random.normal(size=rounds)
    arms = arm(random, drifts), arm(random, drifts)
    held = {}
    for name, compare in QUANTITIES.items():
        found, truth = compare(arms)
        held[name] = found.low <= truth <= found.high
    return held


def main() -> int:
    truths = {
        "capacity": mean_over_rounds(-1),
        "slope": EACH * mean_over_rounds(1),
        "time to drain": long_run(drains),
    }
    failed = 0
    for rounds in ROUNDS:
        random = np.random.default_rng(rounds)
        drawn = [holds(random, rounds) for _ in range(DRAWS)]
        if rounds > max(TOO_FEW):
            drawn = [each | alone(random, rounds, truths) for each in drawn]
        for name in drawn[0]:
            share = sum(each[name] for each in drawn) / DRAWS
            low, high = BAR_OF_TAIL if name == TAIL else BAR
            inside = rounds in TOO_FEW or low <= share <= high
            failed += not inside
            print(f"{rounds} rounds  {name:22} {share:6.1%}{'' if inside else '  NOT REACHED'}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
