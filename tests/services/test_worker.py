"""The queue worker against a real Redis: nothing lost, nothing tried for ever."""

import threading
import time

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as QueueGone
from starlette.testclient import TestClient

from lab_services.errors import LabError
from lab_services.services.worker import Worker, wait_until_done
from lab_services.waiting import wait_until

AT_ONCE = 0.02  # seconds until a job is given to another worker


@pytest.fixture
def redis(redis_server):
    client = Redis.from_url(redis_server, decode_responses=True)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def member(redis):
    """Makes workers of one group; each notes the jobs that it was given."""

    def make(name="one", handle=None, **options):
        seen = []

        def noted(job):
            seen.append((job.fields["number"], job.attempt))
            if handle:
                handle(job)

        worker = Worker(noted, redis, name=name, **{"reclaim_seconds": AT_ONCE, **options})
        worker.seen = seen  # type: ignore[attr-defined]
        return worker

    return make


def put(redis, *numbers):
    for number in numbers:
        redis.xadd("jobs", {"number": number})


def open_jobs(redis):
    return redis.xpending("jobs", "workers")["pending"]


def fail(job):
    raise ValueError("not with me")


def count(worker, outcome):
    return worker.jobs.labels(outcome)._value.get()


def test_each_job_goes_to_one_worker_in_order(redis, member):
    """A group whose members all get everything, and a job that was there before the first."""
    put(redis, 1, 2)
    one, two = member("one"), member("two")
    assert [one.turn(), two.turn()] == [1, 1]
    put(redis, 3)
    assert (one.turn(), two.turn(0.01)) == (1, 0)
    assert (one.seen, two.seen) == ([("1", 1), ("3", 1)], [("2", 1)])
    assert open_jobs(redis) == 0
    assert count(one, "done") == 2


@pytest.mark.parametrize("taken_before", [False, True])
def test_a_job_that_is_no_text_is_refused(redis, redis_server, monkeypatch, taken_before):
    """A single job of other bytes killed the worker, and each that was started in its place."""
    monkeypatch.setenv("QUEUE_URL", redis_server)
    monkeypatch.setenv("RECLAIM_SECONDS", "0.02")
    seen = []
    worker = Worker.from_environment(seen.append)
    worker.turn(0.01)  # joins
    with Redis.from_url(redis_server) as raw:
        raw.xadd("jobs", {b"number": b"1", b"text \xff": "é\u20ac".encode() + b"\xfe"})
        if taken_before:
            raw.xreadgroup("workers", "dead", {"jobs": ">"})
            time.sleep(2 * AT_ONCE)
    put(redis, 2)
    while worker.turn(0.01):
        pass
    worker.turn(0.01)
    assert [job.fields["number"] for job in seen] == ["2"]
    ((_, buried),) = redis.xrange(worker.dead)
    assert buried["text \\xff"] == "é€\\xfe"
    assert buried["reason"] == "its fields are no UTF-8"
    assert [count(worker, outcome) for outcome in ("refused", "buried", "done")] == [1, 1, 1]
    assert open_jobs(redis) == 0


def test_a_dead_workers_jobs_go_to_another(redis, member):
    """Work that is lost with the worker that had it, or that is taken from one that lives."""

    def die(job):
        raise SystemExit

    put(redis, 1)
    dying, other = member("dying", die), member("other", reclaim_seconds=0.3)
    with pytest.raises(SystemExit):
        dying.turn()
    assert other.turn(0.01) == 0  # not yet
    time.sleep(0.3)
    assert other.turn() == 1
    assert other.seen == [("1", 2)]
    assert open_jobs(redis) == 0
    assert count(other, "reclaimed") == 1


def test_a_handful_is_acknowledged_together(redis, member):
    """A worker that dies in the middle: all of its handful comes back, the finished ones too."""

    def die_at_three(job):
        if job.fields["number"] == "3":
            raise SystemExit

    put(redis, 1, 2, 3, 4)
    with pytest.raises(SystemExit):
        member("dying", die_at_three, take=4).turn()
    time.sleep(2 * AT_ONCE)
    other = member("other", take=4)
    other.turn()
    assert other.seen == [("1", 2), ("2", 2), ("3", 2), ("4", 2)]


def test_a_failed_job_comes_back_until_its_attempts_are_used_up(redis, member):
    """A poison message that is tried for ever, or whose end leaves no trace."""
    put(redis, 1)
    worker = member(handle=fail, attempts=3)
    for _ in range(5):
        worker.turn(0.01)
        time.sleep(2 * AT_ONCE)
    assert worker.seen == [("1", 1), ("1", 2), ("1", 3)]
    assert open_jobs(redis) == 0
    ((_, buried),) = redis.xrange(worker.dead)
    assert buried["number"] == "1" and buried["attempts"] == "3"
    assert "not with me" in buried["reason"]
    assert (count(worker, "failed"), count(worker, "buried")) == (3, 1)


def test_without_a_limit_it_comes_back_for_ever(redis, member):
    """A limit that holds where none was asked for."""
    put(redis, 1)
    worker = member(handle=fail, attempts=None)
    for _ in range(6):
        worker.turn(0.01)
        time.sleep(2 * AT_ONCE)
    assert [attempt for _, attempt in worker.seen] == [1, 2, 3, 4, 5, 6]
    assert redis.xlen(worker.dead) == 0


def test_a_job_that_kills_its_workers_is_buried_unseen(redis, member):
    """A message that takes down one worker after another."""

    def die(job):
        raise SystemExit

    put(redis, 1)
    for name in ("one", "two"):
        with pytest.raises(SystemExit):
            member(name, die, attempts=2).turn()
        time.sleep(2 * AT_ONCE)
    third = member("three", attempts=2)
    assert third.turn(0.01) == 0
    assert third.seen == []
    assert redis.xlen(third.dead) == 1 and open_jobs(redis) == 0


def test_the_others_of_a_handful_do_not_suffer(redis, member):
    """One bad job for which its neighbours are worked on again."""

    def fail_at_two(job):
        if job.fields["number"] == "2":
            fail(job)

    put(redis, 1, 2, 3)
    worker = member(handle=fail_at_two, take=3)
    worker.turn()
    assert open_jobs(redis) == 1


def test_what_is_left_behind_is_found_behind_many_that_are_in_work(redis, member):
    """A look that sees only the first of the open jobs, again and again."""
    busy = member("busy")
    put(redis, *range(40))
    redis.xgroup_create("jobs", "workers", id="0")
    redis.xreadgroup("workers", "busy", {"jobs": ">"}, 40)
    *_, last = [place for place, _ in redis.xrange("jobs")]
    redis.xclaim("jobs", "workers", "busy", 0, [last], justid=True, idle=60_000)
    other = member("other", reclaim_seconds=30)
    assert other.turn(0.001) == 1
    assert other.seen == [("39", 2)]
    assert busy.seen == []


def test_a_queue_that_was_emptied_is_joined_again(redis, member):
    """A worker that is of no use any more after the queue has forgotten its group."""
    worker = member()
    worker.turn(0.01)
    redis.flushall()
    put(redis, 1)
    worker.turn(0.01)
    worker.turn(0.01)
    assert worker.seen == [("1", 1)]


def test_a_queue_may_be_emptied_while_a_worker_waits(redis, member):
    """A worker that takes it for an outage, and pauses."""
    worker = member()
    worker.turn(0.01)
    threading.Timer(0.1, redis.flushall).start()
    assert worker.turn(0.5) == 0
    put(redis, 1)
    worker.turn(0.01)
    assert worker.seen == [("1", 1)]


def test_a_queue_that_is_gone_is_not_the_jobs_fault(redis, member):
    """A job that is buried because the queue was down while it was worked on."""

    def gone(job):
        raise QueueGone("gone")

    put(redis, 1)
    worker = member(handle=gone, attempts=1)
    with pytest.raises(QueueGone):
        worker.turn()
    assert redis.xlen(worker.dead) == 0 and open_jobs(redis) == 1


def test_it_works_as_a_service_and_finishes_what_it_has(redis, member):
    """A stop in the middle of a job, or a worker that prometheus cannot see."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(job):
        begun.set()
        go_on.wait(5)

    worker = member(handle=slow)
    prepared = []
    app = worker.service("worker", lambda: prepared.append(True))
    put(redis, 1)
    with TestClient(app) as client:
        assert begun.wait(5) and prepared
        assert client.get("/ready").status_code == 200
        threading.Timer(0.1, go_on.set).start()
    assert open_jobs(redis) == 0
    assert app.registry.get_sample_value("jobs_total", {"outcome": "done"}) == 1


def test_a_worker_that_has_died_is_not_ready(redis, member):
    """A service that takes no job any more and is taken for a healthy one."""

    def leaves(job):
        raise SystemExit("no more")

    app = member(handle=leaves).service("worker")
    put(redis, 1)
    with TestClient(app) as client:
        wait_until(lambda: client.get("/ready").status_code == 503, 5, "the worker has died")
        assert "no more" in client.get("/ready").json()["reason"]


def test_a_worker_outlives_its_queue(redis, member):
    """A thread that ends with the first error of the network, while the service stays ready."""
    worker = member()
    whole, stop = worker.turn, threading.Event()
    tries = []

    def turn():
        tries.append(1)
        if len(tries) == 1:
            raise QueueGone("gone")
        stop.set()
        return whole(0.01)

    worker.turn = turn
    worker.run(stop)
    assert len(tries) == 2


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "QUEUE_URL"),
        ({"TAKE": "0"}, "TAKE"),
        ({"RECLAIM_SECONDS": "0"}, "RECLAIM_SECONDS"),
        ({"ATTEMPTS": "-1"}, "ATTEMPTS"),
    ],
)
def test_settings_are_checked(monkeypatch, environment, told):
    """A worker without a queue, or one that takes nothing."""
    if environment:
        monkeypatch.setenv("QUEUE_URL", "redis://127.0.0.1:1")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LabError, match=told):
        Worker.from_environment(fail)


def test_no_limit_is_written_as_zero(monkeypatch):
    """Zero attempts, with which nothing is ever tried."""
    monkeypatch.setenv("QUEUE_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("ATTEMPTS", "0")
    assert Worker.from_environment(fail).attempts is None


def test_all_is_done_or_somebody_hears_of_it(member, redis):
    """A measurement that goes on while jobs of the last one are worked on; a wait without end."""
    worker = member()
    put(redis, 1, 2)
    with pytest.raises(LabError, match="Jobs were left"):  # nobody has joined yet
        wait_until_done(redis, patience=0.05)
    assert worker.turn() == 1
    with pytest.raises(LabError, match=r"workers.*1"):
        wait_until_done(redis, patience=0.05)
    assert worker.turn() == 1
    wait_until_done(redis, patience=0.05)


def test_a_slow_worker_is_waited_for_as_long_as_it_goes_on(redis, member):
    """A pile that takes longer than the patience on a slow machine, and ends a run."""
    worker = member(handle=lambda job: time.sleep(0.05))
    put(redis, *range(12))
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=[stop])
    thread.start()
    began = time.monotonic()
    try:
        wait_until_done(redis, patience=0.5)
    finally:
        stop.set()
        thread.join()
    assert time.monotonic() - began > 0.5
