"""The same test thousands of times, with travellers dealt anew from recorded answers.

`right` is one truth value for each recorded flight: whether a model told it rightly. Everything is
computed for all replays at once, and every function takes the generator of its chances.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Right = NDArray[np.bool_]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def deal(
    right: Right, replays: int, days: int, per_day: int, random: np.random.Generator
) -> Counts:
    """Right answers up to each day, when so many travellers a day get flights at random.

    Shape (replays, days). Flights are drawn with replacement.
    """
    daily = np.empty((replays, days), dtype=np.int64)
    for day in range(days):
        daily[:, day] = right[random.integers(0, len(right), (replays, per_day))].sum(axis=1)
    return daily.cumsum(axis=1)


def z_scores(right_b: Counts, of_b: Counts, right_a: Counts, of_a: Counts) -> Floats:
    """The z of two proportions with their pooled variance, as statsmodels' `proportions_ztest`.

    That one takes one test at a time; this one takes arrays. It is 0 where nothing differs.
    """
    pooled = (right_b + right_a) / (of_b + of_a)
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / of_b + 1 / of_a))
    difference = right_b / of_b - right_a / of_a
    z: Floats = np.divide(difference, deviation, out=np.zeros_like(difference), where=deviation > 0)
    return z


def false_alarms(bounds: Floats) -> Floats:
    """The chance that |z| has crossed its bound by each look, when nothing differs.

    Looks come after equal numbers of travellers. Armitage, McPherson and Rowe (Journal of the Royal
    Statistical Society A 132, 1969): the sum of what was seen is a random walk, and its density,
    cut off at the bounds, is carried from one look to the next.
    """
    looks = np.arange(1, len(bounds) + 1)
    ends = bounds * np.sqrt(looks)
    points = 301
    crossed = np.empty(len(bounds))
    grid = np.linspace(-ends[0], ends[0], points)
    density = stats.norm.pdf(grid)
    crossed[0] = 1 - np.trapezoid(density, grid)
    for look in range(1, len(bounds)):
        weights = density * (grid[1] - grid[0])
        weights[[0, -1]] *= 0.5  # the trapezoidal rule
        following = np.linspace(-ends[look], ends[look], points)
        density = stats.norm.pdf(following[:, None] - grid[None, :]) @ weights
        grid = following
        crossed[look] = 1 - np.trapezoid(density, grid)
    return crossed


def obrien_fleming(looks: int, alpha: float = 0.05) -> Floats:
    """Bounds for |z| at each of the planned looks that keep false alarms at `alpha` in all.

    O'Brien and Fleming (Biometrics 35, 1979): the bound falls with the root of what has been seen,
    so that early looks need overwhelming evidence and the last one hardly more than a single test.
    """
    shape = np.sqrt(looks / np.arange(1, looks + 1))
    constant = optimize.brentq(lambda c: false_alarms(c * shape)[-1] - alpha, 1.0, 5.0, xtol=1e-4)
    bounds: Floats = constant * shape
    return bounds


def always_valid(
    z: Floats, variance: Floats, expected: float, alpha: float = 0.05
) -> NDArray[np.bool_]:
    """Where the evidence suffices, however often one has looked and will look.

    The mixture sequential probability ratio test (Johari, Koomen, Pekelis and Walsh, Operations
    Research 70, 2022) for a difference with this `variance`; `expected` is the size of difference
    that one hopes for: evidence gathers fastest near it.
    """
    spread = variance + expected**2
    log_ratio = 0.5 * np.log(variance / spread) + 0.5 * z**2 * expected**2 / spread
    enough: NDArray[np.bool_] = log_ratio >= -np.log(alpha)
    return enough


def first_day(crossed: NDArray[np.bool_]) -> Counts:
    """The first day (from 1) at which each replay stops; 0 where it never does."""
    days: Counts = np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1, 0)
    return days


def days_taken(stopped: Counts) -> float:
    """The mean day at which the replays stopped that did; nan where none did."""
    found = stopped[stopped > 0]
    return float(found.mean()) if len(found) else math.nan


def travellers_taken(stopped: Counts) -> float:
    """The median number of travellers until the replays stopped that did; nan where none did."""
    found = stopped[stopped > 0]
    return float(np.median(found)) if len(found) else math.nan


def per_request(
    right_a: Right, right_b: Right, flights: int, travellers: int, random: np.random.Generator
) -> tuple[int, int, int, int]:
    """Travellers with several flights, split anew at each request and analysed by the first one.

    Returns right answers and answers of those who began with B, then of those who began with A.
    """
    picks = random.integers(0, len(right_a), (travellers, flights))
    in_b = random.random((travellers, flights)) < 0.5
    right = np.where(in_b, right_b[picks], right_a[picks])
    first = in_b[:, 0]
    return (
        int(right[first].sum()),
        int(right[first].size),
        int(right[~first].sum()),
        int(right[~first].size),
    )


def thompson(
    right_a: Right,
    right_b: Right,
    replays: int,
    days: int,
    per_day: int,
    random: np.random.Generator,
    delay: int = 1,
) -> tuple[Counts, Counts, Counts, Counts]:
    """Thompson sampling: each traveller goes to the arm that a draw from what is known prefers.

    Known is what happened up to `delay` days before. Returns, up to each day, the travellers and
    the right answers of A, then those of B, each of shape (replays, days). Source: Thompson
    (Biometrika 25, 1933); uniform priors.
    """
    daily = np.zeros((4, replays, days), dtype=np.int64)
    for day in range(days):
        known = daily[:, :, : max(0, day - delay + 1)].sum(axis=2)
        drawn_a, drawn_b = (
            random.beta(1 + hits[:, None], 1 + (seen - hits)[:, None], (replays, per_day))
            for seen, hits in (known[:2], known[2:])
        )
        picks = random.integers(0, len(right_a), (replays, per_day))
        to_b = drawn_b > drawn_a
        daily[0, :, day] = (~to_b).sum(axis=1)
        daily[1, :, day] = (~to_b & right_a[picks]).sum(axis=1)
        daily[2, :, day] = to_b.sum(axis=1)
        daily[3, :, day] = (to_b & right_b[picks]).sum(axis=1)
    total = daily.cumsum(axis=2)
    return total[0], total[1], total[2], total[3]


def harmed_until_stop(
    share: float,
    failing: float,
    healthy: float,
    alpha: float,
    replays: int,
    travellers: int,
    random: np.random.Generator,
) -> tuple[Counts, Counts]:
    """How many of B's travellers a failing candidate has harmed when the guardrail speaks.

    B fails for the share `failing` of its travellers, A for `healthy`. Returns for each replay the
    harmed, and the travellers of both arms up to then; the latter is 0 where it never speaks.
    """
    in_b = random.random((replays, travellers)) < share
    failed = random.random((replays, travellers)) < np.where(in_b, failing, healthy)
    of_b, of_a = (failed & in_b).cumsum(axis=1), (failed & ~in_b).cumsum(axis=1)
    # What Evidence gathers failure by failure, as one formula.
    log = special.betaln(of_b + 1, of_a + 1) - of_b * np.log(share) - of_a * np.log1p(-share)
    speaks = (log >= -np.log(alpha)) & (of_b > share * (of_a + of_b))
    stopped = first_day(speaks)
    at = np.where(stopped > 0, stopped, travellers) - 1
    return of_b[np.arange(replays), at], stopped


def failures_needed(share: float, alpha: float) -> int:
    """How many failures, all of them B's, make the guardrail speak."""
    failures = 1
    while -failures * np.log(share) - np.log(failures + 1) < -np.log(alpha):
        failures += 1
    return failures
