"""Open-loop traffic against a real server: every arrival gets its row, whatever happens."""

import json
import socket
import threading
import time
from contextlib import ExitStack

import numpy as np
import pytest

from lab_services import traffic
from lab_services.errors import LabError
from lab_services.traffic.collector import Collector


@pytest.fixture
def requests(service):
    return traffic.requests(service.url(), [{"flight": number} for number in range(20)], model="x")


@pytest.fixture
def raw_server():
    """Serve connections by a function, each in turn; gives the port."""
    with ExitStack() as stack:

        def start(answer):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve():
                while True:
                    try:
                        connection, _ = listener.accept()
                    except OSError:  # closed at the end of the test
                        return
                    with connection:
                        if connection.recv(65536):
                            answer(connection)

            thread = threading.Thread(target=serve)
            thread.start()
            stack.callback(thread.join)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return listener.getsockname()[1]

        yield start


HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf"


def test_one_row_for_each_arrival(service, requests):
    """Nothing may be lost, sent twice or out of turn."""
    before = time.time()
    recording = traffic.send(requests, traffic.poisson(200, 1), title="first")
    table = recording.table
    assert len(table) == len(traffic.poisson(200, 1))
    assert table["ok"].all()
    assert (table["status"] == 200).all()
    assert (table["error"] == "").all()
    assert (table["bytes"] == len('{"late": false}')).all()
    assert (table["model"] == "x").all()
    assert not table["warmup"].any()
    assert table["intended"].is_monotonic_increasing
    assert (table["started"] >= table["intended"]).all()
    np.testing.assert_allclose(
        table["latency"] - table["response_time"], table["started"] - table["intended"], atol=1e-6
    )
    assert before < recording.begin < time.time()
    np.testing.assert_allclose(
        table["intended"] - recording.begin, traffic.poisson(200, 1).offsets, atol=1e-6
    )
    bodies = [json.loads(body)["flight"] for _, _, body in service.seen()]
    assert sorted(bodies) == sorted(number % 20 for number in range(len(table)))
    assert not recording.interrupted
    assert traffic.last() is recording


@pytest.mark.alone
def test_connections_are_kept(service, requests):
    """A connection for each request would measure the handshake."""
    traffic.send(requests, traffic.constant(100, 1), connections=4)
    assert len({port for port, _, _ in service.seen()}) <= 40


def test_connections_grow_when_all_are_busy(service):
    """An open loop does not wait for a free connection."""
    slow = traffic.requests(service.url("/slow"), [{}])
    recording = traffic.send(slow, traffic.constant(200, 0.5), connections=1)
    assert recording.table["ok"].all()
    assert len({port for port, _, _ in service.seen()}) >= 8


@pytest.mark.alone
def test_a_stall_shows_in_every_latency_it_caused(service, requests):
    """Coordinated omission: counting from the actual start would hide the waiting."""
    times = []

    def stall():
        service.pause()
        times.append(time.time())
        time.sleep(0.4)
        times.append(time.time())
        service.resume()

    table = traffic.send(requests, traffic.constant(100, 1), at={0.3: stall}).table
    assert len(table) == 100
    paused, resumed = times
    # A signal takes a moment to arrive.
    caught = table[table["intended"].between(paused + 0.02, resumed)]
    assert len(caught) >= 35
    assert (caught["latency"] >= resumed - caught["intended"] - 0.001).all()


def test_the_warm_up_comes_before_and_is_marked(service, requests):
    """The measured part keeps its schedule and its first request."""
    recording = traffic.send(requests, traffic.constant(50, 0.4), warmup=1.0)
    table = recording.table
    assert table["warmup"].sum() == 50
    assert len(recording.measured) == 20
    assert recording.seconds == 0.4
    assert recording.measured["intended"].min() == pytest.approx(recording.begin, abs=1e-6)
    assert table["intended"].min() == pytest.approx(recording.begin - 1.0, abs=1e-6)


def test_labels_follow_their_requests(service):
    streams = [
        traffic.requests(service.url(f"/{name}"), [{"to": name}], variant=name, replicas=count)
        for name, count in (("a", 1), ("b", 2))
    ]
    table = traffic.send(traffic.interleave(*streams), traffic.constant(100, 0.2)).table
    assert list(table["variant"]) == ["a", "b"] * 10
    assert list(table["replicas"]) == [1, 2] * 10


def test_several_generators_share_one_schedule(service, requests):
    schedule = traffic.constant(200, 0.5)
    recording = traffic.send(requests, schedule, generators=2)
    np.testing.assert_allclose(
        recording.table["intended"] - recording.begin, schedule.offsets, atol=1e-6
    )
    assert recording.table["ok"].all()
    assert len(service.seen()) == 100


def test_a_refusal_is_recorded_with_its_words(service):
    refused = traffic.requests(service.url("/overloaded"), [{}])
    table = traffic.send(refused, traffic.constant(50, 0.2)).table
    assert (table["status"] == 503).all()
    assert (table["error"] == "too many").all()
    assert not table["ok"].any()


def test_nobody_listening_is_recorded(closed_port):
    """A lab that kills its service must get a recording, not an exception."""
    requests = traffic.requests(f"http://127.0.0.1:{closed_port}/predict", [{}])
    table = traffic.send(requests, traffic.constant(50, 0.2)).table
    assert len(table) == 10
    assert (table["status"] == 0).all()
    assert (table["error"] == "connection refused").all()
    assert not table["ok"].any()


@pytest.mark.alone
def test_a_request_is_given_up_in_time(service):
    """`timeout` counts from the intended start and bounds the whole run."""
    hanging = traffic.requests(service.url("/hang"), [{}])
    began = time.monotonic()
    table = traffic.send(hanging, traffic.constant(50, 0.2), timeout=0.3).table
    assert time.monotonic() - began < 5
    assert (table["error"] == "no answer within 0.3 s").all()
    assert table["latency"].between(0.3, 1.5).all()


@pytest.mark.alone
def test_a_dripping_answer_is_given_up_too(raw_server):
    """A byte now and then must not renew the time that a request has."""

    def drip(connection):
        connection.sendall(HALF)
        for _ in range(10):
            time.sleep(0.1)
            try:
                connection.sendall(b".")
            except OSError:
                return

    requests = traffic.requests(f"http://127.0.0.1:{raw_server(drip)}/", [{}])
    table = traffic.send(requests, traffic.constant(1, 1), connections=1, timeout=0.4).table
    assert list(table["error"]) == ["no answer within 0.4 s"]
    assert table["latency"].between(0.4, 0.8).all()


def test_a_cut_answer_is_no_answer(raw_server):
    port = raw_server(lambda connection: connection.sendall(HALF))
    requests = traffic.requests(f"http://127.0.0.1:{port}/", [{}])
    table = traffic.send(requests, traffic.constant(50, 0.1), connections=1).table
    assert (table["status"] == 0).all()
    assert (table["error"] == "connection closed in the middle of the answer").all()


def test_rubbish_is_no_answer(raw_server):
    port = raw_server(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"))
    requests = traffic.requests(f"http://127.0.0.1:{port}/", [{}])
    table = traffic.send(requests, traffic.constant(50, 0.1), connections=1).table
    assert (table["status"] == 0).all()
    assert table["error"].str.startswith("not HTTP").all()


def test_a_body_without_its_length_ends_with_the_connection(raw_server):
    port = raw_server(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nwhole"))
    requests = traffic.requests(f"http://127.0.0.1:{port}/", [{}])
    table = traffic.send(requests, traffic.constant(50, 0.1), connections=1).table
    assert table["ok"].all()
    assert (table["bytes"] == 5).all()


@pytest.mark.alone
def test_who_answered_is_kept_with_the_request(raw_server):
    """An answer whose header is lost, or ends in another request's row."""
    named = [b"x-answered-by: rough\r\n", b"", b"X-Answered-By: good\r\n"]
    turns = iter(named)
    port = raw_server(
        lambda connection: connection.sendall(
            b"HTTP/1.1 200 OK\r\n" + next(turns) + b"connection: close\r\n\r\n."
        )
    )
    requests = traffic.requests(f"http://127.0.0.1:{port}/", [{}])
    table = traffic.send(requests, traffic.constant(10, 0.3), connections=1).table
    assert table["ok"].all()
    assert table["answered_by"].tolist() == ["rough", "", "good"]


@pytest.mark.alone
def test_actions_run_at_their_time(service, requests):
    """Seconds count from the end of the warm-up; a slow action does not delay the next."""
    called = {}

    def note(name, pause=0.0):
        called[name] = time.time()
        time.sleep(pause)

    recording = traffic.send(
        requests,
        traffic.constant(50, 0.5),
        warmup=0.2,
        at={0.1: lambda: note("one", 0.3), 0.2: lambda: note("two")},
    )
    assert 0.09 <= called["one"] - recording.begin < 0.4
    assert called["two"] - recording.begin >= 0.19
    assert called["two"] < called["one"] + 0.3


def test_the_error_of_an_action_is_raised_after_the_run(service, requests):
    """A fault that could not be injected must not pass for a service that stood it."""

    def fail():
        raise ValueError("no such replica")

    with pytest.raises(ValueError, match="no such replica"):
        traffic.send(requests, traffic.constant(50, 0.3), at={0.1: fail})
    assert len(traffic.last()) == 15
    with pytest.raises(ExceptionGroup) as caught:
        traffic.send(requests, traffic.constant(50, 0.3), at={0.1: fail, 0.2: fail})
    assert len(caught.value.exceptions) == 2


def sends_all_in_turn(service):
    """How many requests came, when each of the eight payloads came about as often."""
    bodies = [json.loads(body)["n"] for _, _, body in service.seen()]
    counts = np.bincount(bodies, minlength=8)
    return len(bodies) if counts.max() - counts.min() <= 3 else 0


@pytest.mark.alone
def test_closed_users_wait_for_their_answers(service):
    """Four users with 50 ms an answer send no more than 80 a second, and stop in time."""
    slow = traffic.requests(service.url("/slow"), [{"n": n} for n in range(8)], kind="slow")
    recording = traffic.closed_loop(slow, users=4, seconds=1.0, warmup=0.3)
    table = recording.measured
    assert table["ok"].all()
    assert 20 <= len(table) <= 84
    assert recording.table["warmup"].sum() >= 4
    assert (table["latency"] == table["response_time"]).all()
    assert (table["intended"] < recording.begin + 1.0).all()
    assert (table["kind"] == "slow").all()
    assert not recording.late
    assert sends_all_in_turn(service)


@pytest.mark.alone
def test_locust_workers_give_one_recording(service):
    """Master and workers: users are shared, and every row comes home."""
    slow = traffic.requests(service.url("/slow"), [{"n": n} for n in range(8)])
    recording = traffic.closed_loop(slow, users=4, seconds=1.0, processes=2)
    assert recording.table["ok"].all()
    assert 20 <= len(recording.measured) <= 84
    assert len(recording) == sends_all_in_turn(service)


@pytest.mark.parametrize("path", ["/predict", "/slow"])
def test_a_count_is_sent_exactly(service, path):
    """Users that all find the last request still to send, or a warm-up that counts."""
    asked = traffic.requests(service.url(path), [{"n": n} for n in range(8)])
    recording = traffic.closed_loop(asked, users=4, count=21, warmup=0.2)
    measured = recording.measured
    assert len(measured) == 21
    assert recording.table["warmup"].any()
    assert recording.table["ok"].all()
    assert len(recording) == sends_all_in_turn(service)
    last_answer = (measured["started"] + measured["response_time"]).max()
    assert recording.seconds == pytest.approx(last_answer - recording.begin, abs=1e-4)
    assert not recording.interrupted
    assert not recording.note


def test_a_slow_service_is_asked_as_often(service):
    """A median of too few: with 50 ms an answer, a quarter of a second brings five."""
    slow = traffic.requests(service.url("/slow"), [{}])
    recording = traffic.closed_loop(slow, 1, count=20)
    assert len(recording) == 20
    assert recording.seconds >= 20 * 0.05


@pytest.mark.parametrize("count", [1, 7])
def test_workers_share_a_count(service, count):
    """Each worker sending all of it, or parts whose sum is another number."""
    asked = traffic.requests(service.url(), [{"n": n} for n in range(8)])
    recording = traffic.closed_loop(asked, users=4, count=count, processes=2, warmup=0.1)
    assert len(recording.measured) == count


def test_a_count_ends_though_nobody_answers(service, closed_port):
    """A run without an end: a request that is given up counts like any other."""
    hanging = traffic.requests(service.url("/hang"), [{}])
    table = traffic.closed_loop(hanging, users=2, count=3, timeout=0.3).table
    assert list(table["error"]) == ["no answer within 0.3 s"] * 3
    refused = traffic.requests(f"http://127.0.0.1:{closed_port}/", [{}])
    assert list(traffic.closed_loop(refused, users=2, count=3).table["status"]) == [0] * 3


@pytest.mark.parametrize(
    "send",
    [
        lambda requests: traffic.closed_loop(requests, users=1, count=20),
        lambda requests: traffic.send(requests, traffic.constant(100, 0.2)),
    ],
)
def test_lost_rows_are_an_error(requests, monkeypatch, send):
    """A recording that holds fewer requests than were sent, without a word."""
    take = Collector.add

    def lose(collector, place, rows):
        for column in (
            rows.arrival_index,
            rows.started,
            rows.ended,
            rows.status,
            rows.size,
            rows.warmup,
        ):
            del column[3:4]
        take(collector, place, rows)

    monkeypatch.setattr(Collector, "add", lose)
    with pytest.raises(RuntimeError, match=r"\d+ rows of 20"):
        send(requests)


@pytest.mark.parametrize(
    "arguments",
    [
        {"requests": []},
        {"schedule": traffic.poisson(0.001, 1)},
        {"timeout": 0},
        {"warmup": -1},
        {"at": {2.0: print}},
        {"at": {0.5: "kill"}},
        {"generators": 0},
        {"connections": 1.5},
        {"requests": [traffic.Request("http://no-such-host.invalid/predict")]},
    ],
)
def test_nonsense_is_refused_with_a_hint(service, requests, arguments):
    arguments = {"requests": requests, "schedule": traffic.constant(10, 1)} | arguments
    with pytest.raises(LabError) as caught:
        traffic.send(**arguments)
    assert caught.value.hint
    assert not service.seen()


@pytest.mark.parametrize(
    "arguments",
    [
        {"users": 0},
        {"users": 1, "processes": 2},
        {"seconds": -1},
        {"requests": []},
        {"seconds": None},
        {"count": 5},
        {"seconds": None, "count": 0},
        {"seconds": None, "count": 2.5},
        {"seconds": None, "count": 5, "at": {0.1: print}},
    ],
)
def test_nonsense_of_a_closed_loop_is_refused(service, requests, arguments):
    """Neither seconds nor count, both, or an action at a time that a count may not reach."""
    with pytest.raises(LabError) as caught:
        traffic.closed_loop(**({"requests": requests, "users": 2, "seconds": 1} | arguments))
    assert caught.value.hint
    assert not service.seen()
