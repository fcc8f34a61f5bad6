"""Intervals for series whose values depend on one another.

Latencies that follow each other are alike: requests wait in the same queue, a pause hits all that
arrive in it. Drawing requests one by one, as the plain bootstrap does, treats them as independent
and gives intervals that are several times too narrow. So blocks of consecutive values are drawn
(circular block bootstrap: Politis and Romano, "A circular block-resampling procedure for
stationary data", 1992), and the block's length follows from the series itself (Politis and White,
"Automatic block-length selection for the dependent bootstrap", Econometric Reviews 23, 2004, with
the correction of Patton, Politis and White, 2009).
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]

REPLICATES = 1000
CONFIDENCE = 0.95


def _spectrum(series: Series) -> tuple[Series, Series, int]:
    """Autocovariances, their flat-top weights, and the length of the series they are of."""
    n = len(series)
    if n < 2:  # nothing varies, and there is no lag
        return np.zeros(1), np.ones(1), n
    centred = series - series.mean()
    run = max(5, int(np.ceil(np.sqrt(np.log10(n)))))
    # The paper's ceil(sqrt(n)) + run lags are fewer than a queue near saturation remembers.
    last = min(n - 1, max(int(np.ceil(np.sqrt(n))) + run, n // 10))
    size = 1 << (2 * n - 1).bit_length()
    transformed = np.fft.rfft(centred, size)
    covariance: Series = np.fft.irfft(transformed * np.conj(transformed), size)[: last + 1] / n
    if covariance[0] <= 0:
        return covariance[:1], np.ones(1), n
    small = np.abs(covariance / covariance[0]) < 2 * np.sqrt(np.log10(n) / n)
    # The first lag that is followed by `run` lags, all of them indistinguishable from none.
    quiet = np.convolve(small[1:], np.ones(run), "valid") == run
    first = int(np.argmax(quiet)) if quiet.any() else last
    width = min(max(2 * first, 1), last)
    at = np.arange(width + 1) / width
    weights: Series = np.where(at <= 0.5, 1.0, 2 * (1 - at))
    return covariance[: width + 1], weights, n


def block_length(series: Series) -> int:
    """How many consecutive values a block needs (Politis and White 2004, circular blocks)."""
    covariance, weights, n = _spectrum(series)
    if covariance[0] <= 0:
        return 1
    lags = np.arange(len(covariance))
    slope = 2 * float(np.sum(weights * lags * covariance))
    density = covariance[0] + 2 * float(np.sum(weights[1:] * covariance[1:]))
    if density <= 0 or slope == 0:
        return 1
    length = (2 * slope**2 / (4 / 3 * density**2)) ** (1 / 3) * n ** (1 / 3)
    return int(np.clip(np.ceil(length), 1, max(1, n // 3)))


def design_effect(series: Series) -> float:
    """By how many times dependence enlarges the variance of the series' mean; at least 1.

    The ratio of the long-run variance to the variance (Kish, "Survey Sampling", 1965, calls it
    the design effect): n values tell as much as n / design_effect independent ones.
    """
    covariance, weights, _ = _spectrum(series)
    if covariance[0] <= 0:
        return 1.0
    return max(1.0, 1 + 2 * float(np.sum(weights[1:] * covariance[1:]) / covariance[0]))


def ends(
    sources: Sequence[Sequence[Series]],
    blocks: Sequence[int],
    combine: Callable[[Sequence[Series]], float],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    paired: bool = True,
) -> tuple[float, float]:
    """The 95 % percentile interval of `combine` over resampled sources.

    `sources[i][r]` is what source i gave in round r, in the order of time; `blocks[i]` its
    block length. Rounds are drawn first, then blocks within them (two stages: Davison and
    Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8), and every source
    draws the same rounds and the same places in them, so sources measured alternately stay
    paired; where they are not `paired`, each draws its own places. Gives (nan, nan) where `combine`
    cannot be computed for one replicate in forty, and where there is nothing to draw from.
    """
    if not all(source and all(map(len, source)) for source in sources):
        return float("nan"), float("nan")
    random = np.random.default_rng(seed)
    rounds = len(sources[0])
    # As many blocks as the source with the longest blocks can fill.
    counts = [
        max(1, min(len(source[r]) // block for source, block in zip(sources, blocks, strict=True)))
        for r in range(rounds)
    ]
    drawn = np.empty(replicates)
    for replicate in range(replicates):
        parts: list[list[Series]] = [[] for _ in sources]
        for r in random.integers(0, rounds, rounds):
            starts = random.random(counts[r])
            for part, source in zip(parts, sources, strict=True):
                part.append(_blocks(source[r], starts))
                if not paired:
                    starts = random.random(counts[r])
        drawn[replicate] = combine([np.concatenate(part) for part in parts])
    if np.mean(~np.isfinite(drawn)) > (1 - CONFIDENCE) / 2:
        return float("nan"), float("nan")
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _blocks(series: Series, starts: Series) -> Series:
    """Blocks that begin at the fractions `starts` of the series, together as long as it."""
    n = len(series)
    length = -(-n // len(starts))
    begin = (starts * n).astype(np.intp)
    taken = (begin[:, None] + np.arange(length)).ravel()[:n]
    picked: Series = series.take(taken, mode="wrap")
    return picked
