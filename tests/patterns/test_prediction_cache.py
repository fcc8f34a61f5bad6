"""The doors of the prediction cache, its predictor, and what the lab reads off a run."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from redis import Redis
from starlette.testclient import TestClient

from lab_services import report, traffic
from lab_services.labs.serving import prediction_cache as lab
from lab_services.models import build
from lab_services.models.features import EXAMPLE
from lab_services.patterns.serving.prediction_cache import app as front_module
from lab_services.patterns.serving.prediction_cache import predictor
from lab_services.patterns.serving.prediction_cache.questions import key
from lab_services.report.stats import Interval
from lab_services.traffic.recording import Recording
from tests.patterns.fake_service import Answer, fake_service

QUESTION = {"flight": EXAMPLE, "samples": 100}


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
def service(model):
    with fake_service(model) as running:
        yield running


@pytest.fixture
def redis(redis_server):
    with Redis.from_url(redis_server) as client:
        client.flushall()
        client.config_set("maxmemory", 0)
        yield client


@pytest.fixture
def front(redis, redis_server, service, monkeypatch):
    monkeypatch.setenv("CACHE_URL", redis_server)
    monkeypatch.setenv("PREDICTOR_URL", service.url)
    monkeypatch.setattr(front_module, "newest", "")
    with TestClient(front_module.app) as client:
        yield client


def ask(front, door, question=QUESTION, ttl=60):
    return front.post(f"/{door}/predict", json=question, params={"ttl": ttl})


def by(answer):
    return answer.headers["x-answered-by"]


def until(true):
    for _ in range(200):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("It has not become so.")


# --- the doors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["first", "beside", "versioned", "single", "early"])
def test_a_repeat_is_answered_by_the_cache(front, door):
    """A cache that keeps nothing, or that another door's answers come from."""
    assert by(ask(front, door)) == "model old"
    again = ask(front, door)
    assert (by(again), again.json()["probability"]) == ("cache old", 0.4)


def test_without_a_cache_the_model_answers_each_time(front, service, redis):
    """A door without a cache that has one."""
    assert [by(ask(front, "plain")) for _ in range(2)] == ["model old"] * 2
    assert len(service.asked) == 2 and not redis.keys()


def test_a_hit_spares_the_model_only_where_the_look_comes_first(front, service):
    """Looking beside that is taken for a relief of the model."""
    for _ in range(3):
        ask(front, "first")
    assert len(service.asked) == 1
    for _ in range(3):
        ask(front, "beside")
    until(lambda: len(service.asked) == 4)


def test_an_answer_is_gone_after_its_time(front, service):
    """An answer that lives for ever."""
    ask(front, "first", ttl=0.03)
    time.sleep(0.05)
    assert by(ask(front, "first")) == "model old"


@pytest.mark.parametrize("changed", [{"samples": 101}, {"flight": EXAMPLE | {"wind": 1.0}}])
def test_another_question_has_another_key(front, changed):
    """A field that the answer depends on and that is not in the key."""
    ask(front, "first")
    assert by(ask(front, "first", QUESTION | changed)) == "model old"


def test_the_same_question_has_one_key(front):
    """Two spellings of one question that never meet."""
    ask(front, "first")
    turned = dict(reversed(EXAMPLE.items())) | {"temperature": int(EXAMPLE["temperature"])}
    assert by(ask(front, "first", {"samples": 100, "flight": turned})) == "cache old"
    assert key("a", QUESTION) == key("a", dict(reversed(QUESTION.items())))
    assert key("a", QUESTION) != key("b", QUESTION) != key("b", QUESTION, "v2")


def test_a_new_model_begins_with_an_empty_cache_where_it_is_in_the_key(front, model):
    """An old model's answer after the front has heard of the new one."""
    for door in ("first", "versioned"):
        ask(front, door)
    model.version = "new"
    ask(front, "plain")
    assert by(ask(front, "first")) == "cache old"
    assert by(ask(front, "versioned")) == "model new"
    model.version = "old"
    ask(front, "plain")
    assert by(ask(front, "versioned")) == "cache old"  # a roll-back finds its answers again


def test_an_answer_is_kept_under_the_model_that_gave_it(front, model):
    """An answer of the old model under the new one's name, given in the middle of a rollout."""
    front_module.newest = "new"
    ask(front, "versioned")
    front_module.newest = "new"
    model.version = "new"
    assert by(ask(front, "versioned")) == "model new"


def test_a_single_flight_asks_once(front, service, model):
    """A crowd at the model's door, or one that never gets its answer."""
    model.free.clear()
    with ThreadPoolExecutor(4) as callers:
        several = [callers.submit(ask, front, "single") for _ in range(4)]
        until(lambda: service.asked or None)
        time.sleep(0.1)
        model.free.set()
        answers = sorted(by(one.result()) for one in several)
    assert answers == ["model old", "shared old", "shared old", "shared old"]
    assert len(service.asked) == 1 and not front_module.under_way


def test_a_failed_flight_fails_for_all_and_is_forgotten(front, model):
    """A question that nobody may ask any more."""
    model.status = 500
    assert ask(front, "single").status_code == 503
    model.status = 200
    until(lambda: not front_module.under_way)
    assert by(ask(front, "single")) == "model old"


@pytest.mark.parametrize(("lot", "source"), [(0.0, "cache old"), (1 - 1e-16, "model old")])
def test_the_lot_decides_whether_an_answer_is_renewed(front, monkeypatch, lot, source):
    """An answer that is renewed with each hit, or never before it is gone."""
    ask(front, "early", ttl=1)
    monkeypatch.setattr(front_module, "EAGER", 100)
    monkeypatch.setattr(front_module.random, "random", lambda: lot)
    assert by(ask(front, "early")) == source


@pytest.mark.parametrize("door", ["plain", "first", "beside", "versioned", "single", "early"])
def test_a_model_that_is_away_is_said_so(front, model, door):
    """A traceback, or a failure that is kept."""
    model.status = 500
    answer = ask(front, door)
    assert answer.status_code == 503 and "predictor" in answer.json()["detail"]
    model.status = 200
    assert by(ask(front, door)) == "model old"


def test_a_failure_beside_a_hit_is_nobodys(front, model, service):
    """A hit that fails because the model does."""
    ask(front, "beside")
    model.status = 500
    assert by(ask(front, "beside")) == "cache old"
    until(lambda: not front_module.beside_hits)


@pytest.mark.parametrize("door", ["first", "beside", "versioned", "single", "early"])
def test_without_its_cache_the_service_goes_on(service, monkeypatch, door):
    """A service that is down because its cache is."""
    monkeypatch.setenv("CACHE_URL", "redis://127.0.0.1:9")
    monkeypatch.setenv("PREDICTOR_URL", service.url)
    with TestClient(front_module.app) as client:
        assert by(ask(client, door)) == "model old"


@pytest.mark.parametrize(
    ("door", "question"),
    [("other", QUESTION), ("first", EXAMPLE), ("first", QUESTION | {"samples": 0})],
)
def test_a_wrong_question_is_refused(front, service, door, question):
    """A question that the model fails on."""
    assert ask(front, door, question).status_code == 422
    assert not service.asked


def test_the_predictor_says_who_it_is_and_counts(monkeypatch):
    """An answer that changes, one without its model, or inferences that nobody counts."""
    monkeypatch.setenv("MODEL", str(build.ensure("good")["good"]))
    with TestClient(predictor.app) as client:
        first, again = (client.post("/predict", json=QUESTION).json() for _ in range(2))
        other = client.post("/predict", json=QUESTION | {"samples": 1}).json()
        assert "inferences_total 3.0" in client.get("/metrics").text
    assert first == again and first["model"].startswith("good-")
    assert 0 < abs(first["probability"] - other["probability"]) < 0.3


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
