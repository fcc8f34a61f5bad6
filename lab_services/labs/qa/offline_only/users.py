"""The travellers of this chapter: simulated, and by these rules alone.

A traveller asks whether a flight will be late. Who has to wait for longer than their patience has
left before the answer. Who sees it stays a customer. Who is warned of a late flight is helped; who
is warned for nothing has lost an evening. What happens is that of the real flight.
"""

import math

import numpy as np
from numpy.typing import NDArray

SEEN = 1.0  # points for an answer that is seen
HELPED = 4.0  # more, for a warning that turns out right
ALARMED = 1.0  # less, for one that does not
PATIENCE = 1.0  # seconds that a traveller waits, in the mean; exponential

Truths = NDArray[np.bool_]
Numbers = NDArray[np.float64]


def points(warned: Truths, late: Truths, stayed: Truths) -> Numbers:
    """What each traveller is worth: 0 gone, 1 seen and not warned, 5 helped, 0 alarmed."""
    worth = SEEN + np.where(warned, np.where(late, HELPED, -ALARMED), 0.0)
    return np.where(stayed, worth, 0.0)


def patience(travellers: int, seed: int = 0) -> Numbers:
    """How long each traveller waits, in seconds."""
    return np.random.default_rng(seed).exponential(PATIENCE, travellers)


def staying(seconds: float) -> float:
    """The share of the travellers who wait for so long: the tail of an exponential."""
    return math.exp(-seconds / PATIENCE)


def best_threshold(helped: float = HELPED, alarmed: float = ALARMED) -> float:
    """Above which probability a warning pays: the cost-loss ratio (Murphy 1977).

    A warning gains p * helped and costs (1 - p) * alarmed.
    """
    return alarmed / (alarmed + helped)


def promised(chances: Numbers, threshold: float) -> float:
    """Points of a traveller who stays, if flights are late as often as the model says."""
    warned = chances > threshold
    gain = chances * HELPED - (1 - chances) * ALARMED
    return SEEN + float(np.where(warned, gain, 0.0).mean())


def room(points_of_today: float, points_of_candidate: float) -> float:
    """Seconds by which a better candidate may be slower until its lead is used up; 0 without one.

    `staying(room)` of the candidate's points are today's. Raises ValueError for points up to 0.
    """
    if min(points_of_today, points_of_candidate) <= 0:
        raise ValueError("Travellers that are worth nothing have nothing to lose.")
    return max(0.0, PATIENCE * math.log(points_of_candidate / points_of_today))
