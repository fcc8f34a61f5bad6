"""What requests ask for, where some things are asked for far more often than others."""

import numpy as np
from numpy.typing import NDArray


def zipf(count: int, skew: float = 1.0) -> NDArray[np.float64]:
    """Shares of the traffic of `count` things: that of rank r goes with 1 / r ** skew."""
    weights = np.arange(1, count + 1, dtype=float) ** -skew
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def draw(shares: NDArray[np.float64], count: int, seed: int = 0) -> NDArray[np.int64]:
    """Which thing each of `count` requests asks for, independently of one another."""
    return np.random.default_rng(seed).choice(len(shares), count, p=shares)
