"""Helpers of the lab `qa/shadow-ab-test`: what it reads off, and the theory."""

import asyncio
import math

import numpy as np
import pandas as pd
import pytest

from lab_services.labs.qa import shadow_ab_test as lab
from lab_services.report import Interval
from lab_services.stack import Stack
from lab_services.traffic.recording import Recording

# --- what the lab reads off -----------------------------------------------------------------------


def joined(*pairs):
    """Rows as the log joins them; a candidate of None has not answered. A pair: its two sayings."""
    return pd.DataFrame(
        [
            {
                "place": number,
                "production": 0.9 if p else 0.1,
                "candidate": math.nan if c is None else (0.8 if c else 0.2),
                "production_late": p,
                "candidate_late": c,
                "answered": c is not None,
            }
            for number, (p, c) in enumerate(pairs)
        ]
    )


def test_agreement_counts_those_who_were_asked_twice():
    """A missing answer taken for a disagreement, or for an agreement."""
    table = joined((True, True), (True, False), (False, None), (False, False))
    agree = lab.agreement(table)
    assert (agree.value, agree.n) == (pytest.approx(2 / 3), 3)
    assert lab.answered(table).value == 0.75
    assert lab.disagreements(table, 5)["place"].tolist() == [1]
    assert not lab.agreement(joined((True, None))).known
    assert not lab.order_quantile(np.empty(0, dtype=np.int64), 0.95).known
    assert lab.first_silent(table).value == 3
    assert not lab.first_silent(joined((True, True))).known


def test_flights_are_put_beside_their_rows():
    """A row joined to the flight before or after its own; rows left in the order of the log."""
    table = joined((True, True), (False, True)).iloc[::-1]
    flights = [{"carrier": "AA"}, {"carrier": "9E"}]
    about = lab.with_flights(table, flights, [True, False])
    assert about["carrier"].tolist() == ["AA", "9E"]
    assert about["candidate_late"].tolist() == [True, True]
    assert about["production_late"].tolist() == [True, False]
    assert about["late"].tolist() == [True, False]


def test_what_answers_cost():
    """A missed flight that costs as little as a false alarm; a flight that only one has told of."""
    table = joined((True, True), (True, False), (False, True), (False, None)).assign(
        late=[True, False, True, True]
    )
    costs = lab.costs(table, missed=4)
    assert costs["production"].tolist() == [0, 1, 4]
    assert costs["candidate"].tolist() == [0, 0, 0]
    assert lab.saved_paired(costs, "").value == pytest.approx(5 / 3)
    # In turns: production told the first and the third flight, the candidate the second.
    assert lab.saved_split(costs, "").value == pytest.approx(2)


def test_pairs_tell_more_than_a_split():
    """An interval that ignores that both have told the same flights; variances not added up."""
    random = np.random.default_rng(1)
    production = random.normal(size=4000)
    candidate = production + random.normal(scale=0.5, size=4000)
    costs = pd.DataFrame({"production": production, "candidate": candidate})
    assert lab.saved_paired(costs, "").value == pytest.approx(0, abs=0.05)
    # Variances for n flights: 0.25 / n of the pairs, (1 + 1.25) / (n / 2) of the split.
    expected = math.sqrt(0.25 / (2 * 2.25))
    found = lab.narrower(costs)
    assert found.value == pytest.approx(expected, rel=0.1)
    assert found.low < found.value < found.high < math.sqrt(0.5)


def test_nothing_is_narrower_than_what_does_not_vary():
    """A division by no width: every flight of a short test was told rightly by both."""
    costs = lab.costs(joined(*[(True, True)] * 6).assign(late=True), missed=4)
    paired, split = lab.saved_paired(costs, ""), lab.saved_split(costs, "")
    assert (paired.value, split.value) == (0, 0)
    assert not lab.narrower(costs).known


def test_what_is_not_known_may_be_the_worst():
    """The worst of the known ones taken for the worst of all."""
    some, more = Interval(0.1, 0.0, 0.3, 9, "share"), Interval(0.2, 0.1, 0.4, 9, "share")
    assert lab.worst([some, more, some]) == more
    assert not lab.worst([more, Interval.unknown("nobody asked", "share")]).known


def test_requests_without_an_answer_can_be_slow():
    """Users who waited and got nothing, left out of those who waited."""
    table = pd.DataFrame(
        {"latency": [0.2, 0.3, 0.01, 0.02], "ok": [True, False, True, True], "warmup": False}
    )
    assert lab.slower(Recording(table, 0.0, 1.0), 0.1).value == 0.5
    assert not lab.slower(Recording(table[:0], 0.0, 1.0), 0.1).known


class Telling:
    """A stack whose services tell what the test writes."""

    envoy_stats = Stack.envoy_stats

    def __init__(self, stats):
        self._stats = stats

    def json(self, service, path, port):
        return {"stats": self._stats}


def test_what_services_tell_of_themselves():
    """Histograms taken for counters."""
    names = [*lab.WAITING, lab.DROPPED]
    values = zip(names, (3, 4, 9), strict=True)
    stats = [{"name": f"cluster.copies.{name}", "value": value} for name, value in values]
    found = lab.copies(Telling([*stats, {"histograms": {}}]))
    assert found == {"waiting": 7, "dropped": 9}


@pytest.mark.parametrize("share", [-0.1, 1.1, 0.255])
def test_only_whole_per_cents_are_mirrored(share):
    """A share that the proxy would round without a word."""
    with pytest.raises(ValueError, match="whole per cents"):
        lab.mirror(Telling([]), share)


# --- theory ---------------------------------------------------------------------------------------


def test_the_later_of_two():
    """Shares that add up to more than all."""
    assert lab.awaited(0.25) == 0.25
    assert lab.awaited(0.5, 0.5) == 0.75
    assert lab.awaited(1.0, 0.3) == 1.0


def test_copies_held():
    """A share that is forgotten; a limit that limits nothing."""
    assert lab.held(400, 0.25, 2) == 200
    assert lab.held(400, 0.25, 2, limit=64) == 64


def test_requests_until_a_fault_is_seen():
    """Three divided by the rarity (Hanley and Lippman-Hand 1983); shares that are none."""
    assert lab.requests_until_seen(1.0, 0.001) == pytest.approx(2994, abs=1)
    assert lab.requests_until_seen(0.1, 0.01) == lab.requests_until_seen(0.01, 0.1)
    assert lab.requests_until_seen(1.0, 1.0) == 1
    for share, rarity in ((0, 0.1), (0.1, 0), (1.1, 0.1)):
        with pytest.raises(ValueError):
            lab.requests_until_seen(share, rarity)


def test_replays_are_what_the_theory_says():
    """Flights that are not mirrored and found all the same; a fault that is never seen as seen."""
    random = np.random.default_rng(2)
    carriers = ["9E"] * 50 + ["AA"] * 950
    firsts = lab.first_seen(carriers, ["9E"], [1.0, 0.2], 800, 2000, random)
    for share in (1.0, 0.2):
        found = lab.order_quantile(firsts[share, "9E"], 0.95)
        assert found.value == pytest.approx(lab.requests_until_seen(share, 0.05), rel=0.2)
        assert found.low <= found.value <= found.high
    never = lab.first_seen(["AA", "9E"], ["9E"], [1e-12], 3, 10, random)
    assert never[1e-12, "9E"].tolist() == [11, 11, 11]


# --- the exercise in code -------------------------------------------------------------------------


async def task_of_its_own(ask_production, ask_candidate):
    task = asyncio.create_task(ask_candidate())
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await ask_production()


async def awaits_both(ask_production, ask_candidate):
    production, _ = await asyncio.gather(ask_production(), ask_candidate())
    return production


async def takes_the_candidates(ask_production, ask_candidate):
    return await ask_candidate()


async def asks_nobody(ask_production, ask_candidate):
    return await ask_production()


@pytest.mark.alone
def test_only_a_shadow_is_harmless():
    """A shadow that a hang stops; one that never asks; something that is no coroutine."""
    assert lab.is_harmless(task_of_its_own)
    for wrong in (awaits_both, takes_the_candidates, asks_nobody, lambda a, b: "production"):
        assert not lab.is_harmless(wrong)
