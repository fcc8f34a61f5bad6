"""How the second stage makes one chance of two: the only arithmetic that services and lab share."""

from typing import Any

import numpy as np

# How much the rough model's word counts beside the good one's.
ROUGH_SHARE = 0.2


def mixed(good: Any, rough: Any) -> Any:
    """Two chances as one: the weighted mean of their log odds. Numbers or arrays from 0 to 1.

    Genest and Zidek, "Combining Probability Distributions: A Critique and an Annotated
    Bibliography", Statistical Science 1 (1), 1986: the logarithmic opinion pool.
    """
    odds = (1 - ROUGH_SHARE) * _log_odds(good) + ROUGH_SHARE * _log_odds(rough)
    return 1 / (1 + np.exp(-odds))


def _log_odds(chance: Any) -> Any:
    kept = np.clip(chance, 1e-6, 1 - 1e-6)
    return np.log(kept / (1 - kept))
