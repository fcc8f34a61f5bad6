"""The front and the worker of the asynchronous pattern, and what the lab reads off a run."""

import runpy
import threading

import pytest
from redis import Redis
from starlette.testclient import TestClient

from lab_services.models import build

PATTERN = "lab_services.patterns.serving.asynchronous"


@pytest.fixture
def redis(redis_server, monkeypatch):
    model = build.ensure("good")["good"]
    for name, value in {
        "QUEUE_URL": redis_server,
        "STORE_URL": redis_server,
        "MODEL": str(model),
    }.items():
        monkeypatch.setenv(name, value)
    with Redis.from_url(redis_server, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def front(redis):
    with TestClient(runpy.run_module(f"{PATTERN}.app")["app"]) as client:
        yield client


def test_a_held_request_ends_when_nothing_comes(front):
    """A client that waits for ever."""
    assert front.get("/jobs/never", params={"wait": 0.1}).status_code == 202


def test_results_are_announced_again_after_redis_was_away(restarting_redis, monkeypatch, caplog):
    """A front that is ready and wakes nobody since Redis was restarted."""
    for name in ("QUEUE_URL", "STORE_URL"):
        monkeypatch.setenv(name, restarting_redis.url)
    with (
        TestClient(runpy.run_module(f"{PATTERN}.app")["app"]) as client,
        Redis.from_url(restarting_redis.url) as redis,
    ):
        restarting_redis.kill()
        restarting_redis.until(lambda: "no news of results" in caplog.text)
        restarting_redis.start()
        restarting_redis.until(lambda: dict(redis.pubsub_numsub("finished"))[b"finished"])
        redis.hset("results", "a-1", b"{}")
        held = threading.Timer(0.2, lambda: redis.publish("finished", "a-1"))
        held.start()
        assert client.get("/jobs/a-1", params={"wait": 20}).status_code == 200
        held.join()
        assert client.get("/ready").status_code == 200
