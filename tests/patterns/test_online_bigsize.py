"""The services of the online bigsize anti-pattern, its forests, and what the lab reads off them."""

import runpy
import time

import pytest
from redis import Redis
from starlette.testclient import TestClient

from lab_services.models import build
from lab_services.models.features import EXAMPLE
from lab_services.services.worker import Job

PATTERN = "lab_services.patterns.serving.online_bigsize"


@pytest.fixture
def environment(redis_server, monkeypatch):
    monkeypatch.setenv("MODEL", str(build.ensure("good")["good"]))
    monkeypatch.setenv("QUEUE_URL", redis_server)
    with Redis.from_url(redis_server, decode_responses=True) as client:
        client.flushall()
        yield client


# --- the services --------------------------------------------------------------------------------


def test_the_caller_waits_for_the_model_and_gets_its_mean(environment):
    """An answer that is no probability, or a bad flight taken for a good one."""
    with TestClient(runpy.run_module(f"{PATTERN}.app")["app"]) as client:
        answer = client.post("/predict", json=EXAMPLE)
        refused = client.post("/predict", json={**EXAMPLE, "distance": -1})
    assert answer.status_code == 200
    assert 0 < answer.json()["probability"] < 1
    assert refused.status_code == 422


def test_a_ticket_comes_at_once_and_the_answer_when_the_worker_is_done(environment):
    """A front that waits for the worker, or an answer that nobody finds."""
    work = runpy.run_module(f"{PATTERN}.work")
    work["model"].load()
    with TestClient(runpy.run_module(f"{PATTERN}.front")["app"]) as client:
        ticket = client.post("/jobs", json={"id": "a", "flight": EXAMPLE})
        assert (ticket.status_code, ticket.json()) == (202, {"id": "a"})
        assert client.get("/answers/a").status_code == 404
        ((place, fields),) = environment.xrange("jobs")
        work["handle"](Job(place, fields, 1))
        found = client.get("/answers/a")
    assert found.status_code == 200
    assert found.json()["finished"] == pytest.approx(time.time(), abs=10)


def test_a_night_is_queued_whole_or_refused(environment):
    """Half a list in the queue, because the second half was no list of flights."""
    good, bad = {"id": "a", "flight": EXAMPLE}, {"id": "b", "flight": {}}
    with TestClient(runpy.run_module(f"{PATTERN}.front")["app"]) as client:
        assert client.post("/nights", json=[good, bad]).status_code == 422
        assert client.post("/nights", json=[]).status_code == 422
        assert environment.xlen("jobs") == 0
        assert client.post("/nights", json=[good, good]).json() == {"queued": 2}
    assert environment.xlen("jobs") == 2
