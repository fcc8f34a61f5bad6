"""Helpers of the lab `serving/prediction-cache`: what it reads off, and the theory."""

import math
import threading

import numpy as np
import pandas as pd
import pytest
from redis import Redis

from lab_services import report, traffic
from lab_services.labs.serving import prediction_cache as lab
from lab_services.report.stats import Interval
from lab_services.traffic.recording import Recording
from tests.patterns.fake_service import Answer


class Model:
    """A predictor that the test scripts: its version, and whether it answers."""

    def __init__(self):
        self.version, self.status, self.free = "old", 200, threading.Event()
        self.free.set()

    def __call__(self, asked):
        self.free.wait(5)
        answer = {"probability": 0.4, "late": True, "model": self.version}
        return Answer(answer if self.status == 200 else b"no", status=self.status)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def redis(redis_server):
    with Redis.from_url(redis_server) as client:
        client.flushall()
        client.config_set("maxmemory", 0)
        yield client


# --- theory --------------------------------------------------------------------------------------


def test_a_cache_that_has_run_for_long_hits_as_theory_says():
    """A beginning that is too good or too bad."""
    shares = traffic.zipf(2000, 0.9)
    held = [shares[lab.long_running(shares, 300, seed)].sum() for seed in range(20)]
    assert np.mean(held) == pytest.approx(report.hit_rate(shares, 300), abs=0.01)
    assert len(set(lab.long_running(shares, 300))) == 300


def test_stale_answers_by_theory():
    """A share that does not end with the lifetime."""
    rates = np.array([1e6, 1e6])
    assert lab.stale_share(0, 2, rates) == pytest.approx(1, abs=1e-3)
    assert lab.stale_share(1, 2, rates) == pytest.approx(0.5, abs=1e-3)
    assert lab.stale_share(3, 2, rates) == 0
    assert lab.stale_share(0, 2, np.array([0.5])) == pytest.approx(0.5)


@pytest.mark.parametrize("eager", [1.0, 2.0])
@pytest.mark.parametrize("rate", [5.0, 40.0, 400.0])
def test_early_renewals_against_a_simulation(rate, eager):
    """A formula that looks right."""
    random, seconds, counts = np.random.default_rng(1), 0.03, []
    for _ in range(3000):
        arrivals = -1 + np.cumsum(random.exponential(1 / rate, int(2 * rate) + 80))
        draws = np.exp(np.minimum(arrivals, 0) / (eager * seconds)) > random.random(len(arrivals))
        first = arrivals[draws][0]
        counts.append((draws & (arrivals >= first) & (arrivals < first + seconds)).sum())
    expected = lab.renewed_early(rate, seconds, eager)
    assert np.mean(counts) == pytest.approx(expected, rel=0.06)


def test_at_the_expiry_all_come_who_arrive_meanwhile():
    """A crowd without the first of it."""
    assert lab.at_expiry(200, 0.025) == 6


# --- what the lab reads --------------------------------------------------------------------------


def recording(*rows, **columns):
    table = pd.DataFrame(rows, columns=["started", "answered_by", "latency"])
    table["intended"], table["response_time"] = table["started"], table["latency"]
    table["ok"] = table["answered_by"] != ""
    return Recording(table.assign(warmup=False, **columns), 0.0, 10.0)


def test_caches_are_filled_limited_and_asked(redis):
    """A limit that does not limit, or a cache that forgets what it has just been given."""
    shares = traffic.zipf(5000, 1.0)
    lab.set_up(redis, "allkeys-lru", lab.long_running(shares, 1000))
    assert 700 < redis.dbsize() <= 1000  # what passes the limit goes at once
    hits, held = lab.replay([redis], traffic.draw(shares, 4000, seed=1), rate=1e6)
    assert hits.shape == (1, 4000) and 0.5 < hits.mean() < 0.75
    assert 600 < held[0] < 1300
    redis.config_set("maxmemory", 0)


def test_where_answers_came_from():
    """A hit rate that counts failures as hits."""
    sent = recording((0.0, "cache a", 0.1), (1.0, "model a", 0.1), (2.0, "", 0.1))
    assert lab.hits(sent).value == pytest.approx(1 / 3)
    assert lab.only(sent, "model")["started"].tolist() == [1.0]


def test_the_break_even_is_the_price_of_a_look_over_what_a_hit_saves():
    """A cache that pays at once, or one that answers where it should not."""
    steps = [("plain", "model a", 10.0), ("miss", "model a", 11.0), ("hit", "cache a", 1.0)]
    rows = [(0.0, who, took) for _, who, took in steps * 30]
    labels = {"step": [s for s, *_ in steps * 30], "question": np.arange(90) // 3, "round": 0}
    costs = lab.lookup_costs(recording(*rows, **labels))
    found = lab.break_even(costs)
    assert len(costs) == 30 and found.value == pytest.approx(0.1)
    assert lab.capacity(costs).value == pytest.approx(0.1)
    # A hit that the model has answered is none, and its question is left out.
    rows[2] = (0.0, "model a", 11.0)
    assert len(lab.lookup_costs(recording(*rows, **labels))) == 29


@pytest.mark.parametrize(("rows", "reason"), [(0, "in all three ways"), (1, "one question")])
def test_too_few_questions_tell_no_break_even(rows, reason):
    """A traceback, or a break-even without an interval, of next to no question."""
    sent = recording((0.0, "model a", 10.0), step="plain", question=1, round=0)
    costs = pd.DataFrame({"plain": [10.0], "miss": [11.0], "hit": [1.0]}).head(rows)
    assert lab.lookup_costs(sent).empty
    found = lab.break_even(costs)
    assert not found.known and reason in found.note


def test_a_capacity_that_no_hit_tells_is_unknown():
    """A rate below nothing, which no schedule can have."""
    costs = pd.DataFrame({"plain": [1.0], "miss": [1.0], "hit": [1.1]})
    assert "no faster" in lab.capacity(costs).note
    assert "three ways" in lab.capacity(costs.head(0)).note


def test_stale_is_what_the_old_model_says_once_it_is_gone():
    """Failures that count as fresh, or an old model's answers while it still is there."""
    sent = recording(
        *((0.0, "model old", 0.1), (0.5, "cache old", 0.1), (1.0, "model new", 0.1)),
        *((2.0, "cache old", 0.1), (2.1, "cache new", 0.1), (2.2, "", 0.1)),
    )
    since = lab.exchanged(sent)
    assert since == pytest.approx(0.1)
    kinds = lab.freshness(sent.table, 0.6).tolist()
    assert kinds == ["old model", "old model", "new model", "stale", "new model", "no answer"]
    assert lab.stale(sent, 0.6, 0, 1.6).value == pytest.approx(1 / 4)


def test_stampedes_are_told_apart():
    """Two expiries that count as one, or a crowd that counts as several."""
    sent = recording(
        *((0.0, "model a", 0.03), (0.01, "model a", 0.05), (0.02, "shared a", 0.01)),
        *((0.1, "cache a", 0.001), (0.5, "model a", 0.02)),
    )
    found = lab.stampedes(sent, gap=0.1)
    assert found["asked"].tolist() == [2, 1] and found["waited"].tolist() == [3, 1]
    assert found["first"].tolist() == [0.03, 0.02] and found["slowest"].tolist() == [0.05, 0.02]
    assert lab.per_expiry(found, "asked").value == 1.5
    assert lab.most_asked([found, found]).value == 2


def test_where_nothing_was_renewed_there_is_no_crowd():
    """A traceback where an answer did not expire while it was asked for."""
    none = lab.stampedes(recording((0.0, "cache a", 0.1)), 0.1)
    assert len(none) == 0 and np.isnan(none["slowest"].median())
    for found in (lab.per_expiry(none, "asked"), lab.most_asked([none])):
        assert not found.known and found.note == "nothing has been renewed"


def test_an_exchange_without_an_answer():
    """A traceback where no request was answered while the model was exchanged."""
    silent = recording((0.0, "", 0.1), (1.0, "", 0.1))
    since = lab.exchanged(silent)
    assert math.isnan(since)
    assert lab.freshness(silent.table, since).tolist() == ["no answer"] * 2
    assert lab.who_answered(silent.table).tolist() == ["no answer"] * 2
    assert not lab.stale(silent, since, 0, 1).known
    # The traffic ended with the rollout: nobody has asked after it.
    late = lab.stale(recording((0.0, "model a", 0.1)), 5.0, 0, 1)
    assert not late.known and not lab.counted(late, "answers").known
    assert lab.counted(Interval(0.25, 0.1, 0.5, 8, "share"), "answers").value == 2
