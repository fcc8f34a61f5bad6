"""How well a model tells late flights from punctual ones, and what is lost with a worse one."""

import numpy as np
import numpy.typing as npt
from scipy import stats as distributions

from lab_services.report.bootstrap import CONFIDENCE
from lab_services.report.stats import Interval

Late = npt.NDArray[np.bool_]
Said = npt.NDArray[np.float64]


def auc(late: Late, said: Said) -> float:
    """Chance that a late flight was given more than a punctual one (Mann and Whitney 1947).

    Ties count half. Raises ValueError where all flights are of one kind.

    >>> auc(np.array([True, False, False]), np.array([0.6, 0.1, 0.6]))
    0.75
    """
    late = np.asarray(late, dtype=bool)
    lates, others = int(late.sum()), int((~late).sum())
    if not (lates and others):
        raise ValueError("Both late and punctual flights are needed.")
    ranks = distributions.rankdata(said)
    return float((ranks[late].sum() - lates * (lates + 1) / 2) / (lates * others))


def auc_interval(late: Late, said: Said) -> Interval:
    """The AUC with its 95 % interval by Hanley and McNeil, Radiology 143, 1982.

    Raises ValueError where all flights are of one kind.
    """
    value, lates, others = auc(late, said), int(late.sum()), int((~late).sum())
    both_lates, both_others = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (lates - 1) * (both_lates - value**2)
    variance += (others - 1) * (both_others - value**2)
    half = 1.96 * (variance / (lates * others)) ** 0.5
    return Interval(value, value - half, value + half, len(late))


def auc_lost(late: Late, model: Said, served: Said, draws: int = 200) -> Interval:
    """AUC of `model` less that of what was `served` to the same flights; 95 % by bootstrap.

    Raises ValueError where all flights are of one kind.
    """
    value = auc(late, model) - auc(late, served)
    random = np.random.default_rng(0)
    found: list[float] = []
    while len(found) < draws:
        at = random.integers(0, len(late), len(late))
        if 0 < late[at].sum() < len(late):
            found.append(auc(late[at], model[at]) - auc(late[at], served[at]))
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, min(low, value), max(high, value), len(late))
