"""What each branch is told of a flight, and how their answers make one: plain arithmetic."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from lab_services.models.features import FEATURES

Rows = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]

PARTS = {
    "carrier": ("carrier",),
    "route": ("origin", "destination", "distance"),
    "hour": ("weekday", "departs"),
    "weather": ("temperature", "humidity", "wind", "rain", "visibility"),
}


class Opinion(TypedDict):
    """What one branch says: log odds to be late, knowing its part, and knowing nothing."""

    odds: float
    usual: float


def in_the_place_of(rows: Rows, part: str, others: Rows) -> Rows:
    """Each row once for each of the others: its own part, and all the rest from them.

    A model that is asked about these rows, and whose answers are averaged, knows of a flight only
    that part (partial dependence: Friedman, Annals of Statistics 29, 2001, section 8.2).
    """
    made = np.tile(others, (len(rows), 1))
    columns = [FEATURES.index(name) for name in PARTS[part]]
    made[:, columns] = np.repeat(rows[:, columns], len(others), axis=0)
    return made


def log_odds(chance: npt.ArrayLike) -> Numbers:
    """The logarithm of chance against counter-chance; infinite at 0 and 1."""
    p = np.asarray(chance, dtype=float)
    odds: Numbers = np.log(p) - np.log1p(-p)
    return odds


def joined(opinions: Iterable[Opinion]) -> float:
    """The probability that several opinions come to; one that is missing changes nothing.

    Each branch moves the usual log odds by what its part says, as in naive Bayes. Raises ValueError
    where there is no opinion.
    """
    given = list(opinions)
    if not given:
        raise ValueError("There is no opinion to join.")
    odds = given[0]["usual"] + sum(opinion["odds"] - opinion["usual"] for opinion in given)
    return float(1 / (1 + np.exp(-odds)))
