"""Hit rates by theory."""

import math

import numpy as np
import pytest

from lab_services.report import hit_rate
from lab_services.traffic import zipf


def simulated(shares, size, policy, requests=60_000):
    """The hit rate of a cache in Python, after it has settled."""
    random = np.random.default_rng(0)
    asked = random.choice(len(shares), requests, p=shares).tolist()
    held, hits = dict.fromkeys(range(size)), 0
    for number, one in enumerate(asked):
        if one in held:
            hits += number > requests // 3
            if policy == "lru":
                held[one] = held.pop(one)
        else:
            held.pop(next(iter(held)))
            held[one] = None
    return hits / (requests - requests // 3)


@pytest.mark.parametrize(("policy", "order"), [("lru", "lru"), ("random", "fifo")])
def test_the_theory_of_hit_rates_against_a_simulation(policy, order):
    """A formula that looks right."""
    shares = zipf(500, 0.9)
    expected = hit_rate(shares, 60, policy=policy)
    assert simulated(shares, 60, order) == pytest.approx(expected, abs=0.015)


def test_policies_in_their_order():
    """LFU, which knows the future, below LRU; or one-off questions that cost nothing."""
    shares = zipf(500, 0.9)
    rates = [hit_rate(shares, 60, policy=p) for p in ("lfu", "lru", "random")]
    assert rates == sorted(rates, reverse=True)
    assert hit_rate(shares, 60, once=0.3) < 0.7 * rates[1]
    assert hit_rate(shares, 60, policy="lfu", once=0.3) == pytest.approx(0.7 * rates[0])
    with pytest.raises(ValueError, match="no theory"):
        hit_rate(shares, 60, policy="mru")
    # A cache whose size was measured may have held nothing: then theory has no rate.
    assert all(math.isnan(hit_rate(shares, size)) for size in (0.0, math.nan))
    assert hit_rate(shares, 500) == 1 and math.isnan(hit_rate(shares, 500, once=0.1))
