import asyncio
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import uvicorn

from lab_services.models.features import EXAMPLE
from lab_services.services.server import DrainingServer


@pytest.mark.alone
def test_it_drains_and_exits_with_zero(serve):
    """uvicorn alone closes its port at once and ends by the signal."""
    server = serve(DRAIN_SECONDS="1").until_ready()
    kept = server.connect()
    assert server.ask("POST", "/predict", EXAMPLE, kept)[0] == 200
    told = time.monotonic()
    server.process.terminate()
    time.sleep(0.2)
    assert server.ask("GET", "/ready")[0] == 503, "not ready at once"
    assert server.ask("GET", "/live")[0] == 200
    status, headers, _ = server.ask("POST", "/predict", EXAMPLE, kept)
    assert (status, headers["connection"]) == (200, "close")
    code, log = server.end()
    assert code == 0, log
    assert 1 <= time.monotonic() - told < 3
    with pytest.raises(ConnectionRefusedError):
        server.ask("GET", "/live")


def test_every_log_line_is_json(serve):
    server = serve().until_ready()
    server.process.terminate()
    _, log = server.end()
    lines = [json.loads(line) for line in log.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    (loaded,) = [line for line in lines if line["message"] == "model loaded"]
    assert loaded["model"] == "good"


def test_what_is_in_flight_is_finished(serve):
    """A request cut off in the middle, with no drain to hide it."""
    server = serve("slow:app", DRAIN_SECONDS="0").until_ready()
    answered = []
    sent = threading.Thread(
        target=lambda: answered.append(server.ask("POST", "/wait", {"seconds": 1.0})[0])
    )
    sent.start()
    time.sleep(0.3)
    server.process.terminate()
    sent.join(20)
    assert answered == [200]
    assert server.end()[0] == 0


def test_half_a_body_does_not_hold_it_until_it_is_killed(serve):
    """A rollout that takes 10 s instead of 1, and ends by SIGKILL, without a word in the log."""
    server = serve(GRACE_SECONDS="2").until_ready()
    with socket.create_connection(("127.0.0.1", server.port)) as half:
        half.sendall(b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 900\r\n\r\n{")
        time.sleep(0.3)
        server.process.terminate()
        code, log = server.end()
    assert code == 0, log
    lines = [json.loads(line) for line in log.splitlines()]
    (cut,) = [line for line in lines if line["message"].startswith("the drain's limit is over")]
    assert (cut["requests"], cut["grace_seconds"]) == (1, 2)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_or_ctrl_c_ends_the_drain(serve, first):
    server = serve(DRAIN_SECONDS="600", GRACE_SECONDS="900").until_ready()
    server.process.send_signal(first)
    time.sleep(0.3)
    if first == signal.SIGTERM:
        assert server.process.poll() is None
        server.process.terminate()
    assert server.end()[0] == 0


class Proxy:
    """What a proxy does: asks who is ready, keeps connections, sends to each in turn."""

    def __init__(self, servers):
        self.servers = servers
        self.ready = list(servers)
        self.statuses, self.lost = [], []
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._ask)]
        self.threads += [threading.Thread(target=self._send, args=(n,)) for n in range(4)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def _ask(self):
        while not self.stopped.is_set():
            self.ready = [server for server in self.servers if self._is_ready(server)]
            time.sleep(0.05)

    @staticmethod
    def _is_ready(server):
        try:
            return server.ask("GET", "/ready")[0] == 200
        except OSError:
            return False

    def _send(self, first):
        kept = {}
        for turn in itertools.count(first):
            if self.stopped.is_set():
                break
            ready = self.ready
            server = ready[turn % len(ready)]
            connection = kept.setdefault(server, server.connect())
            try:
                self.statuses.append(server.ask("POST", "/predict", EXAMPLE, connection)[0])
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                kept.pop(server).close()
            time.sleep(0.001)
        for connection in kept.values():
            connection.close()


def test_no_request_is_lost_in_a_rolling_restart(serve):
    """The promise of the drain: replicas leave one after another, nobody notices."""
    servers = [serve(DRAIN_SECONDS="0.5").until_ready() for _ in range(2)]
    with Proxy(servers) as proxy:
        for leaving in list(servers):
            time.sleep(0.3)
            fresh = serve(DRAIN_SECONDS="0.5").until_ready()
            proxy.servers = [fresh if server is leaving else server for server in proxy.servers]
            proxy.servers.append(leaving)
            time.sleep(0.2)
            leaving.process.terminate()
            assert leaving.end()[0] == 0
            proxy.servers = [server for server in proxy.servers if server is not leaving]
        time.sleep(0.3)
    assert proxy.lost == []
    assert set(proxy.statuses) == {200}
    assert len(proxy.statuses) > 200


def test_a_damaged_model_stops_the_start_and_says_what_to_do(serve, tmp_path):
    server = serve(MODEL=str(tmp_path / "good.onnx"))
    code, log = server.end()
    assert code != 0
    assert "lab models" in log


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"PORT": "http"}, "PORT is 'http'"),
        ({"DRAIN_SECONDS": "-1"}, "DRAIN_SECONDS"),
        ({"DRAIN_SECONDS": "7.5"}, "DRAIN_SECONDS to a number from 0 to 7"),
        ({"LOG_LEVEL": "loud"}, "DEBUG, INFO, WARNING, ERROR"),
        ({"LATE_ABOVE": "2"}, "LATE_ABOVE"),
    ],
)
def test_a_bad_setting_is_a_sentence_and_not_a_traceback(serve, environment, says):
    server = serve(**environment)
    code, log = server.end()
    assert code != 0
    assert says in log
    assert "Traceback" not in log


def test_without_an_application_it_says_how_to_call_it():
    asked = subprocess.run(
        [sys.executable, "-m", "lab_services.services.server"], capture_output=True, text=True
    )
    assert asked.returncode != 0
    assert "MODULE:app" in asked.stderr


def test_it_serves_after_a_fork_of_a_parent_that_imported_everything(good):
    """Settings or sessions made at import time belong to the parent: every child would be alike."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    parent = f"""
import os, runpy, sys
import fastapi, numpy, onnxruntime, uvicorn, uvloop
import lab_services.services.predictor
if os.fork() == 0:
    os.environ.update(PORT="{port}", MODEL={str(good)!r}, LATE_ABOVE="0")
    sys.argv = ["server", "lab_services.services.flights_app:app"]
    runpy.run_module("lab_services.services.server", run_name="__main__")
    os._exit(0)
_, status = os.wait()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    environment = {name: value for name, value in os.environ.items() if name != "MODEL"}
    process = subprocess.Popen(
        [sys.executable, "-c", parent],
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        asked = _ask_until_answered(port)
        assert asked["late"], "LATE_ABOVE was set after the fork"
        os.killpg(process.pid, signal.SIGTERM)
    finally:
        process.wait(20)


def _ask_until_answered(port):
    import httpx

    from lab_services.stack import loopback

    give_up = time.monotonic() + 20
    while True:
        try:
            return loopback.post(f"http://127.0.0.1:{port}/predict", json=EXAMPLE).json()
        except httpx.ConnectError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def test_it_closes_only_when_idle_at_two_ticks_in_a_row():
    """A request that lies unread at one tick, which closing its connection would lose."""
    server = DrainingServer(uvicorn.Config("slow:app"), drain_seconds=0)
    server.announced, server.stops_at = True, time.monotonic()
    ends = []
    for in_work in (set(), {"a request"}, set(), set()):
        server.server_state.tasks = in_work  # type: ignore[assignment]
        ends.append(asyncio.run(server.on_tick(1)))
    assert ends == [False, False, False, True]
