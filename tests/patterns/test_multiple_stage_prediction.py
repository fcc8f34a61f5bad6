"""The two stages, who is told what, and what the lab reads off a run."""

import json
import math
import runpy
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from starlette.testclient import TestClient

from lab_services.models import build
from lab_services.models.features import EXAMPLE
from lab_services.services.worker import Job

PATTERN = "lab_services.patterns.serving.multiple_stage_prediction"


@pytest.fixture
def redis(redis_server, monkeypatch):
    models = build.ensure("rough", "good")
    monkeypatch.setenv("QUEUE_URL", redis_server)
    with Redis.from_url(redis_server, decode_responses=True) as client:
        client.flushall()
        yield client, models, monkeypatch


@pytest.fixture
def inside(redis):
    """The front's own names."""
    _, models, monkeypatch = redis
    monkeypatch.setenv("MODEL", str(models["rough"]))
    return runpy.run_module(f"{PATTERN}.app")["show"].__globals__


@pytest.fixture
def front(inside):
    with TestClient(inside["app"]) as client:
        yield client


@pytest.fixture
def work(redis):
    """The worker's module, its model loaded; jobs are handed to it by the test."""
    _, models, monkeypatch = redis
    module = runpy.run_module(f"{PATTERN}.work")
    monkeypatch.setenv("MODEL", str(models["good"]))
    module["model"].load()
    return module


def test_answers_are_announced_again_after_redis_was_away(restarting_redis, redis, caplog):
    """A front that is ready and wakes nobody since Redis was restarted."""
    _, models, monkeypatch = redis
    monkeypatch.setenv("QUEUE_URL", restarting_redis.url)
    monkeypatch.setenv("MODEL", str(models["rough"]))
    with (
        TestClient(runpy.run_module(f"{PATTERN}.app")["app"]) as client,
        Redis.from_url(restarting_redis.url) as own,
    ):
        restarting_redis.kill()
        restarting_redis.until(lambda: "no news of answers" in caplog.text)
        restarting_redis.start()
        restarting_redis.until(lambda: dict(own.pubsub_numsub("answers"))[b"answers"])
        told = json.dumps({"screen": "s-1", "session": "s", "probability": 0.5})
        announced = threading.Timer(0.2, lambda: own.publish("answers", told))
        announced.start()
        answer = client.get("/screens/s-1", params={"wait": 20})
        announced.join()
        assert (answer.status_code, answer.json()["screen"]) == (200, "s-1")


def asked(screen="s-1", session="s", **changed):
    body = {"screen": screen, "session": session, "flight": EXAMPLE, "margin": 1}
    return body | {"samples": 50, "patience": 0} | changed


def jobs(redis, count):
    """The queue's jobs, once there are that many: they are queued after the first answer."""
    client = redis[0]
    until = time.monotonic() + 5
    while client.xlen("jobs") < count:
        assert time.monotonic() < until
        time.sleep(0.005)
    return [Job(place, fields, 1) for place, fields in client.xrange("jobs")]


# --- the services --------------------------------------------------------------------------------


def test_the_rough_answer_comes_at_once_and_the_good_one_later(front, redis, work):
    """A front that waits for the worker, or a good answer that nobody finds."""
    first = front.post("/screens", json=asked())
    assert first.status_code == 200
    assert first.json()["better_to_come"] and 0 < first.json()["probability"] < 1
    nothing = front.get("/screens/s-1")
    assert nothing.status_code == 202 and "x-answered-by" not in nothing.headers
    work["handle"](jobs(redis, 1)[0])
    later = front.get("/screens/s-1")
    assert later.status_code == 200 and later.headers["x-answered-by"] == "s-1"
    assert later.json()["probability"] != first.json()["probability"]


def test_the_first_answer_does_not_need_the_queue(front, inside):
    """A dead queue that takes the rough answer with it."""
    inside["queue"] = AsyncRedis.from_url("redis://127.0.0.1:9")
    answer = front.post("/screens", json=asked())
    assert answer.status_code == 200 and 0 < answer.json()["probability"] < 1


def test_the_good_model_is_asked_only_where_the_rough_one_is_unsure(front, redis):
    """A margin that is ignored: each screen pays for the heavy stage, or none does."""
    for number, margin in enumerate((0, 1, 0, 1)):
        said = front.post("/screens", json=asked(f"s-{number}", margin=margin)).json()
        assert said["better_to_come"] == bool(margin)
    asked_for = [json.loads(job.fields["job"])["screen"] for job in jobs(redis, 2)]
    assert asked_for == ["s-1", "s-3"]


@pytest.mark.parametrize("changed", [{"margin": 2}, {"samples": 0}, {"screen": ""}, {"flight": 1}])
def test_what_makes_no_sense_is_refused(front, redis, changed):
    """A job in the queue that must fail."""
    assert front.post("/screens", json=asked(**changed)).status_code == 422
    assert redis[0].xlen("jobs") == 0


def test_a_held_request_hears_of_its_own_screen_only(front, inside, redis, work):
    """A late answer that overwrites a newer screen; and without the id it does just that."""
    for screen in ("s-1", "s-2"):
        front.post("/screens", json=asked(screen))
    waiting = {"wait": 10}
    with ThreadPoolExecutor(2) as threads:
        with_id = threads.submit(front.get, "/screens/s-2", params=waiting)
        without = threads.submit(front.get, "/sessions/s/next", params=waiting)
        until = time.monotonic() + 5
        while set(inside["waiting"]) != {"screen s-2", "session s"}:
            assert time.monotonic() < until
            time.sleep(0.005)
        for job in jobs(redis, 2):
            work["handle"](job)
    assert without.result().headers["x-answered-by"] == "s-1"
    assert with_id.result().headers["x-answered-by"] == "s-2"
    assert not inside["waiting"]


def test_the_good_answer_alone_is_waited_for(front, redis, work):
    """A comparison in which one of the two ways has a first answer after all."""
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(front.post, "/screens/good", json=asked())
        job = jobs(redis, 1)[0]
        assert not answer.done()
        work["handle"](job)
    assert answer.result().status_code == 200 and answer.result().json()["screen"] == "s-1"


def test_a_job_that_nobody_waits_for_is_skipped(redis, work):
    """A worker that answers people who have left, while those who look now are waiting."""
    old = f"{int((time.time() - 60) * 1000)}-0"
    new = f"{int(time.time() * 1000)}-0"
    for place, screen in ((old, "old"), (new, "new")):
        body = asked(screen, patience=30) | {"rough": 0.2}
        work["handle"](Job(place, {"job": json.dumps(body)}, 1))
    assert redis[0].exists("answer new") and not redis[0].exists("answer old")
    lines = [json.loads(line) for line in redis[0].lrange("log", 0, -1)]
    assert [line[0] for line in lines] == ["old", "new"]
    assert lines[0][4] is None and 0 < lines[1][4] < 1


def told():
    rows = {"asked": [0.0, 1.0, 2.0], "first": [0.01] * 3, "good": [0.1, math.inf, 0.5]}
    return pd.DataFrame(rows)
