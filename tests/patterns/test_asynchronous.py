"""The front and the worker of the asynchronous pattern, and what the lab reads off a run."""

import json
import math
import runpy
import threading
import time

import numpy as np
import pandas as pd
import pytest
from redis import Redis
from starlette.testclient import TestClient

from lab_services.errors import LabError
from lab_services.labs.serving import asynchronous as lab
from lab_services.models import build
from lab_services.models.features import EXAMPLE
from lab_services.report import charts
from lab_services.services.worker import Job
from lab_services.stack import Stack
from lab_services.traffic import Schedule, constant
from lab_services.traffic.recording import Recording

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


@pytest.fixture
def work(redis):
    """The worker's module, its model loaded; jobs are handed to it by the test."""
    module = runpy.run_module(f"{PATTERN}.work")
    module["model"].load()
    return module


@pytest.fixture
def worker(redis, work):
    """The worker as it runs in the stack."""
    with TestClient(work["app"]):
        yield


def asked(ident="a-1", **changed):
    return lab.job(ident, EXAMPLE, 100) | changed


def given(**changed):
    return Job("1-0", {"job": json.dumps(asked(**changed))}, 1)


# --- front and worker ----------------------------------------------------------------------------


def test_a_ticket_comes_at_once_and_the_result_later(front, redis, work):
    """A front that waits for the worker, or a result that nobody finds."""
    answer = front.post("/jobs", json=asked())
    assert (answer.status_code, answer.json()) == (202, {"id": "a-1"})
    assert front.get("/jobs/a-1").status_code == 202
    ((_, fields),) = redis.xrange("jobs")
    work["handle"](Job("1-0", fields, 1))
    found = front.get("/jobs/a-1")
    assert found.status_code == 200
    assert 0 < found.json()["probability"] < 1 and found.json()["finished"] <= time.time()


@pytest.mark.parametrize(
    "changed", [{"late_above": "0.3"}, {"samples": 0}, {"id": ""}, {"keyed": "perhaps"}]
)
def test_the_door_that_checks_refuses_poison(front, redis, changed):
    """A job that cannot succeed and is queued all the same."""
    assert front.post("/jobs", json=asked(**changed)).status_code == 422
    assert redis.xlen("jobs") == 0
    assert front.post("/jobs/unchecked", json=asked(**changed)).status_code == 202
    assert redis.xlen("jobs") == 1


def test_a_held_request_is_answered_when_the_result_comes(front, worker):
    """A client that waits for the whole time although its result is there."""
    begin = time.monotonic()
    threading.Timer(0.2, lambda: front.post("/jobs", json=asked())).start()
    answer = front.get("/jobs/a-1", params={"wait": 20})
    assert answer.status_code == 200
    assert 0.1 < time.monotonic() - begin < 10


def test_the_backlog_is_told(front, redis):
    """An alarm that watches a number which stays at zero."""
    assert front.get("/queue").json() == {"waiting": 0, "taken": 0, "dead": 0}
    for number in range(3):
        front.post("/jobs", json=asked(f"a-{number}"))
    assert front.get("/queue").json() == {"waiting": 3, "taken": 0, "dead": 0}
    redis.xgroup_create("jobs", "workers", id="0")
    redis.xreadgroup("workers", "somebody", {"jobs": ">"}, 2)
    redis.xadd("jobs-dead", {"job": "{}"})
    assert front.get("/queue").json() == {"waiting": 1, "taken": 2, "dead": 1}


def test_with_a_key_a_job_is_charged_for_once(redis, work):
    """A second delivery that costs a second time, or a first one that costs nothing."""
    for keyed, account in ((True, "with"), (False, "without")):
        for _ in range(3):
            work["handle"](given(ident=account, keyed=keyed, account=account))
    assert redis.hgetall("bill") == {"with": "1", "without": "3"}
    assert redis.llen("log") == 6


def test_the_first_result_stays(redis, work):
    """A result that changes after somebody has read it."""
    work["handle"](given())
    first = redis.hget("results", "a-1")
    work["handle"](given())
    assert redis.hget("results", "a-1") == first


def test_poison_fails_after_the_work_and_leaves_no_trace(redis, work):
    """A failed job that is charged for."""
    with pytest.raises(TypeError):
        work["handle"](given(late_above="0.3"))
    assert redis.keys() == []


def test_more_weathers_say_the_same_more_surely(work):
    """Samples that are all alike, or that make another forecast of it."""
    few, many = (
        work["predict"](asked() | {"samples": samples})["probability"] for samples in (1, 5000)
    )
    assert few != many and abs(few - many) < 0.2


# --- what the lab reads --------------------------------------------------------------------------


class Running:
    """As much of a stack as the lab's helpers needs."""

    def __init__(self, server, front=None):
        self.server, self.front = server, front

    redis = Stack.redis

    def address(self, service, **_):
        return self.server.removeprefix("redis://")

    def url(self, service, path=""):
        return f"{self.front}{path}"


def done_table(*rows):
    table = pd.DataFrame(rows, columns=["job", "place", "worker", "queued", "finished"])
    return table.assign(again=table["job"].duplicated())


def one_after_the_other(count, gap=0.1, worker="w"):
    return done_table(*((f"j{n}", n, worker, 0.0, (n + 1) * gap) for n in range(count)))


def test_the_log_of_the_work_is_read(redis, work, redis_server):
    """A second time that is not told from the first."""
    stack = Running(redis_server)
    for ident in ("a", "b", "a"):
        work["handle"](given(ident=ident))
    table = lab.work(stack)
    assert table["job"].tolist() == ["a", "b", "a"]
    assert table["again"].tolist() == [False, False, True]
    assert lab.results(stack) == {"a", "b"}
    assert lab.charges(stack) == {"nobody": 3}
    lab.clear(stack)
    assert lab.work(stack).empty and lab.charges(stack) == {}


def test_a_queue_that_does_not_drain_is_told(redis, redis_server):
    """A lab that measures while the jobs of the last experiment are in work."""
    redis.xadd("jobs", {"job": "{}"})
    redis.xgroup_create("jobs", "workers", id="0")
    with pytest.raises(LabError, match="left"):
        lab.drained(Running(redis_server), patience=0.1)


def test_dead_letters_are_read(redis, redis_server):
    """A dead letter without the reason for which it is one."""
    redis.xadd("jobs-dead", {"job": '{"id": "a"}', "reason": "text", "attempts": "3"})
    (letter,) = lab.dead_letters(Running(redis_server))
    assert letter == {"id": "a", "reason": "text", "attempts": "3"}


def test_results_are_timed_from_the_queue():
    """A result that counts although it never came."""
    table = pd.DataFrame(
        {
            "job": ["a", "b"],
            "intended": [0.0, 1.0],
            "latency": [0.02, 0.02],
            "response_time": [0.01, 0.02],
            "ok": [True, True],
            "warmup": [False, False],
        }
    )
    recording = Recording(table, 0.0, 2.0, late=True, note="late")
    done = done_table(("a", 1, "w", 0.5, 2.0), ("a", 1, "v", 0.5, 9.0))
    timed = lab.completion(recording, done)
    assert timed.table["latency"].tolist() == [1.5, math.inf]
    assert timed.table["ok"].tolist() == [True, False]


def test_the_service_time_is_the_gap_between_two_finishes():
    """Waiting that counts as work."""
    assert lab.service_time(one_after_the_other(20)).value == pytest.approx(0.1)
    assert "a service time needs 3" in lab.service_time(one_after_the_other(2)).note


def test_depth_slope_and_drain():
    """A queue whose growth has the wrong sign, or that is empty before it is."""
    rows = [(f"j{n}", n, "w", n * 0.1, 0.05 + n * 0.2) for n in range(50)]
    done = done_table(*rows)
    assert lab.depth(done, np.array([-1.0, 0.0, 100.0])).tolist() == [0, 1, 0]
    assert lab.slope(done, 0.5, 4.5).value == pytest.approx(5, rel=0.1)
    drained = lab.drain_seconds(done, 5.0)
    assert drained.value == pytest.approx(0.05 + 48 * 0.2 - 5, abs=0.01)


def test_a_queue_that_never_filled_or_never_drained_has_no_drain_time():
    """A worker that was faster than the pile said, and a traceback instead of a gap."""
    done = one_after_the_other(20)
    assert "no job was waiting" in lab.drain_seconds(done, 1000.0).note
    never = done_table(*((f"x{n}", n, "w", 0.0, math.inf) for n in range(3)))
    left = pd.concat([done, never], ignore_index=True)
    assert "not drained" in lab.drain_seconds(left, 1.0).note


def test_overtaking_is_counted():
    """An order of names or of arrival that stands for the order of results."""
    assert lab.overtaken(one_after_the_other(10)) == (0, 10)
    mixed = done_table(*((f"j{p}", p, "w", 0.0, at) for at, p in enumerate((1, 3, 2, 4))))
    assert lab.overtaken(mixed) == (1, 4)


def test_work_done_again_is_held_against_the_worker_that_died():
    """Duplicates counted for the worker that repaired them."""
    done = done_table(
        *(("a", 1, "dead", 0, 1), ("b", 2, "dead", 0, 2), ("c", 3, "alive", 0, 3)),
        *(("a", 1, "alive", 0, 4), ("b", 2, "alive", 0, 5)),
    )
    assert lab.done_again(done, 3).value == pytest.approx(2 / 3)
    assert lab.done_again(done, 3).low == 0


def test_a_worker_that_was_only_slow_is_no_kill():
    """A busy machine on which jobs are taken from the living ends the run, or counts as a kill."""
    done = done_table(("a", 1, "slow", 0, 1), ("a", 1, "alive", 0, 2))
    assert "only slow" in lab.done_again(done, 0).note


def test_clients_come_for_their_results(redis, worker, redis_server, monkeypatch):
    """A look that counts as one in vain although it found the result."""
    import uvicorn

    app = runpy.run_module(f"{PATTERN}.app")["app"]
    serving = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=serving.run)
    thread.start()
    while not serving.started:
        time.sleep(0.01)
    port = serving.servers[0].sockets[0].getsockname()[1]
    stack = Running(redis_server, f"http://127.0.0.1:{port}")
    bodies = [asked(f"c-{number}") for number in range(20)]
    clients = lab.collect(stack, bodies, constant(40, 0.5), [0.2, None])
    nobody = lab.collect(stack, bodies, Schedule(np.empty(0), 1.0, "nobody"), [None])
    assert nobody[nobody["interval"] == 0].empty  # its columns are there all the same
    serving.should_exit = True
    thread.join()
    told, looked = clients[clients["interval"] == 0], clients[clients["interval"] > 0]
    assert len(told) == len(looked) == 10
    assert (told["empty"] == 0).all() and (clients["delay"] > 0).all()
    assert told["delay"].mean() < looked["delay"].mean()


def test_the_chart_tells_what_was_done_twice():
    """A chart of nothing, or one with a series that has no name."""
    done = one_after_the_other(20)
    moments = {"came": done["queued"], "finished": done["finished"], "done again": [1.0]}
    lines = {label: lab.rates(of, 0.0, 2.0) for label, of in moments.items()}
    whole = charts.series(lines, name="f", title="Flow", y="jobs/s")
    assert "done again: 0 at first, at most 4.00, 0 at the end." in whole.alt
    assert all(f">{label}</text>" in whole.svg for label in moments)
