"""The doors of the prediction cache, its predictor, and what the lab reads off a run."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from starlette.testclient import TestClient

from lab_services.models import build
from lab_services.models.features import EXAMPLE
from lab_services.patterns.serving.prediction_cache import app as front_module
from lab_services.patterns.serving.prediction_cache import predictor
from lab_services.patterns.serving.prediction_cache.questions import key
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
