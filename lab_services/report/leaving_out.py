"""Intervals of anything that can be computed of several series: of rounds, or of one long one.

Five rounds or more, each long enough, give the number by themselves, and it is the mean of these.
Where they are too short for that (a p99 of 200 requests), each round is left out in turn, and the
number is computed of all others (the grouped jackknife: Miller, "The jackknife: a review",
Biometrika 61, 1974). Either way the interval knows how far rounds lie apart, and how the requests
of a round hang together plays no part. Student's t allows for the few rounds.

Fewer rounds tell little of their own spread. They are cut into consecutive blocks, some ten in all,
which are left out like rounds; where rounds are long enough, the interval reaches over what each
gives by itself. It knows the requests, and of the rounds only their range: where rounds differ by
much more than their requests explain, two of them hold the truth in half of all cases, and four in
seven of eight. Compare in five rounds or more.

Ten blocks are enough for an interval, and longer than what most queues remember (Schmeiser, "Batch
size effects in the analysis of simulation output", Operations Research 30, 1982), though not near
saturation. `tests/bench/bench_coverage.py` prints how often such intervals hold the truth.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy

from lab_services.report.bootstrap import CONFIDENCE, Series

ROUNDS = 5
BLOCKS = 10


def interval(
    sources: Sequence[Sequence[Series]],
    combine: Callable[[Sequence[Series]], float],
    enough: int,
) -> tuple[float, float, float]:
    """The value of `combine`, which gets one series of each source, and its 95 % interval.

    `sources[i][r]` is what source i gave in round r, in the order of time, and `enough` how long a
    series must be for `combine`. All sources are taken, or lose, in the same round, and of one
    round the same places: what slowed all of them down cancels. Gives three nan where `combine`
    cannot be computed of each part that is taken or left, and where there is one value only.
    """
    rounds = len(sources[0])
    shortest = min(len(series) for each in sources for series in each)
    alone = []
    if rounds > 1 and shortest >= enough:
        alone = [combine(pair) for pair in zip(*sources, strict=True)]
        if not all(map(math.isfinite, alone)):
            return (math.nan,) * 3
    if rounds >= ROUNDS and alone:
        return _student(float(np.mean(alone)), float(np.var(alone, ddof=1)) / rounds, rounds)
    pieces = 1 if rounds >= ROUNDS else _pieces(rounds, shortest)
    groups = [_cut(source, pieces) for source in sources]
    count = rounds * pieces
    if count < 2:
        return (math.nan,) * 3
    whole = combine([np.concatenate(source) for source in groups])
    without = np.array(
        [
            combine([np.concatenate([*source[:r], *source[r + 1 :]]) for source in groups])
            for r in range(count)
        ]
    )
    value, low, high = _student(whole, (count - 1) * float(without.var()), count)
    return value, min([low, *alone]), max([high, *alone])


def _student(value: float, variance: float, count: int) -> tuple[float, float, float]:
    half = float(scipy.special.stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * math.sqrt(variance)
    return (value, value - half, value + half) if math.isfinite(half) else (math.nan,) * 3


def _pieces(rounds: int, shortest: int) -> int:
    """Into how many blocks each round is cut: of five values at least, where there are enough."""
    return min(math.ceil(BLOCKS / rounds), max(2, shortest // 5), max(1, shortest))


def _cut(source: Sequence[Series], pieces: int) -> list[Series]:
    return [block for series in source for block in np.array_split(series, pieces)]
