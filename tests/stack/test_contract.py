"""What a stack promises, the same on containers and on plain processes."""

import http.client
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from lab_services.errors import LabError
from lab_services.stack import Stack, orders
from lab_services.stack.runtime import PortTaken, ServiceFailed
from lab_services.stack.supervisor_client import living
from tests.stack.conftest import ECHO, RUNTIMES, Write

SERVICE = "    image: ${LAB_IMAGE:-lab-services}\n    command: [python, -c, %r]\n"
PORT = "    environment: {PORT: '8000'}\n"


def ask(
    stack: Stack, path: str = "/", service: str = "proxy", patience: float = 5, **which: Any
) -> tuple[int, Any]:
    """Status and answer of one request over a connection of its own."""
    host, _, port = stack.address(service, **which).partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=patience)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    return response.status, json.loads(body) if body.startswith(b"{") else body.decode()


def state(stack: Stack, service: str, number: int = 1) -> tuple[str, int | None]:
    """State and exit code of one replica."""
    found = [r for r in stack.states() if (r.service, r.number) == (service, number)]
    return (found[0].state, found[0].exit_code) if found else ("absent", None)


def eventually(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- up, down, look ---------------------------------------------------------------------------


def test_up(echo: Stack) -> None:
    """Every service answers when `up` returns, none is left out, none is there twice."""
    found = {(r.service, r.number): r.state for r in echo.states()}
    assert found == {
        ("setup", 1): "exited",
        ("store", 1): "ready",
        ("echo", 1): "ready",
        ("echo", 2): "ready",
        ("proxy", 1): "ready",
    }
    status, answer = ask(echo)
    assert (status, answer["version"]) == (200, "first")


def test_waits_for_what_it_depends_on(echo: Stack) -> None:
    """`service_completed_successfully` waits for the end, and its exit code is kept."""
    assert ask(echo)[1]["greeting"] == "hello"
    assert state(echo, "setup") == ("exited", 0)


def test_each_service_finds_the_others(echo: Stack) -> None:
    """Two replicas count in one store, which both reach by its name."""
    first = ask(echo)[1]["count"]
    assert [ask(echo)[1]["count"] for _ in range(4)] == [first + n for n in range(1, 5)]


def test_url(echo: Stack) -> None:
    """A port of the Compose file leads to the address of that very replica."""
    urls = {echo.url("echo", "/x", replica=n) for n in (1, 2)}
    assert len(urls) == 2
    assert all(u.startswith("http://127.0.0.1:") and u.endswith("/x") for u in urls)
    assert ask(echo, "/ready", "proxy", port=9901)[0] == 200
    with pytest.raises(LabError, match="publishes no port 1"):
        echo.url("proxy", port=1)
    with pytest.raises(LabError, match="no replica 7"):
        echo.url("echo", replica=7)
    with pytest.raises(LabError, match="no service 'eco'"):
        echo.url("eco")
    with pytest.raises(LabError, match="publishes no port"):
        echo.url("setup")


def test_the_environment_is_what_the_file_says(echo: Stack) -> None:
    """A plain process must not see what the notebook's kernel has in its environment."""
    answer = ask(echo, "/environment", "echo")[1]
    assert answer["environment"]["VERSION"] == "first"
    assert "LAB_STATE" not in answer["environment"]
    assert "PYTEST_CURRENT_TEST" not in answer["environment"]
    assert answer["arguments"][1:] == ["echo:app"]


def test_logs(echo: Stack) -> None:
    """The last lines of a replica, and which replica each is from when there are several."""
    assert "eady to accept connections" in echo.logs("store")
    assert len(echo.logs("store", lines=1).splitlines()) == 1
    assert {line[:9] for line in echo.logs("echo").splitlines()} == {"echo-1 | ", "echo-2 | "}
    assert "echo-" not in echo.logs("echo", replica=2)
    with pytest.raises(LabError, match="no service"):
        echo.logs("eco")


def test_stats(echo: Stack) -> None:
    """Processor and memory of every replica that runs, so that a lab can state its cost."""
    busy = threading.Event()

    def load() -> None:
        while not busy.is_set():
            ask(echo)

    thread = threading.Thread(target=load)
    thread.start()
    stats = echo.stats(1.0)
    busy.set()
    thread.join()
    assert set(stats.index) == {("store", 1), ("echo", 1), ("echo", 2), ("proxy", 1)}
    assert (stats["memory_mb"] > 1).all()
    assert (stats["memory_mb"] < 300).all()
    assert stats.loc["echo", "cpu"].sum() > 0.01
    assert (stats["cpu_seconds"] >= stats["cpu"] * 0.5).all()
    once = echo.stats(0)
    assert once["cpu"].isna().all()  # over no time there is no use of a processor
    assert (once["cpu_seconds"] >= stats["cpu_seconds"]).all()
    assert echo.cpu_seconds("echo") >= once.loc["echo", "cpu_seconds"].sum() > 0


def test_only_on_loopback(echo: Stack) -> None:
    """A port on another interface would show the lab to the whole network."""
    published = {port for r in echo.states() for port in r.ports.values()}
    listening = [c.laddr for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert {a.ip for a in listening if a.port in published} == {"127.0.0.1"}
    assert {a.port for a in listening} >= published
    if echo.runtime == "process":  # there is no wall around what a service opens besides
        assert echo._supervisor is not None
        family = psutil.Process(echo._supervisor.info.pid).children(recursive=True)
        ours = [c for process in family for c in process.net_connections("inet")]
        assert {c.laddr.ip for c in ours if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_shown_as_a_table(echo: Stack) -> None:
    """At a terminal the stack tells what runs, in which state, and where."""
    lines = repr(echo).splitlines()
    assert lines[0] == f"{ECHO} on {echo.runtime}"
    assert lines[1].split() == ["service", "replica", "state", "address"]
    assert [line.split()[:3] for line in lines[2:4]] == [
        ["echo", "1", "ready"],
        ["echo", "2", "ready"],
    ]
    assert "exited (0)" in repr(echo)


def test_from_another_terminal(echo: Stack) -> None:
    """What `lab ps`, `lab logs` and `lab fault` do: find a stack and take it in hand."""
    descriptions = [
        (supervisor, d) for supervisor in living() for d in supervisor.call(orders.List())
    ]
    supervisor, description = next(d for d in descriptions if d[1].ident == echo.ident)
    other = Stack.attach(supervisor, description)
    assert other.states() == echo.states()
    assert other.url("proxy") == echo.url("proxy")


# --- faults and changes -----------------------------------------------------------------------


def test_kill_and_start(echo: Stack) -> None:
    """A killed replica has ended by SIGKILL; the proxy does without; a start brings it back."""
    echo.kill("echo", replica=2)
    assert state(echo, "echo", 2) == ("exited", 137)
    with pytest.raises(LabError, match="has ended already"):
        echo.kill("echo", replica=2)
    with pytest.raises(LabError, match="cannot be paused"):
        echo.pause("echo", replica=2)
    with pytest.raises(OSError):
        ask(echo, service="echo", replica=2)
    eventually(lambda: {ask(echo)[0] for _ in range(10)} == {200})
    assert echo.faults[-1].end is None
    echo.start("echo", replica=2)
    assert state(echo, "echo", 2) == ("ready", None)
    assert ask(echo, service="echo", replica=2)[0] == 200
    kill = echo.faults[-1]
    assert (kill.kind, kill.service, kill.replica) == ("kill", "echo", 2)
    assert kill.end is not None
    assert time.time() - 60 < kill.start < kill.end <= time.time()
    with pytest.raises(LabError, match="is running"):
        echo.start("echo", replica=2)


def test_pause_and_resume(echo: Stack) -> None:
    """A paused replica holds its connections and answers nothing, then goes on."""
    with held_connection(echo, replica=1) as request:
        assert request()
        echo.pause("echo", replica=1)
        assert state(echo, "echo", 1) == ("paused", None)
        with pytest.raises(TimeoutError):
            request()
        with pytest.raises(LabError, match="is paused"):
            echo.pause("echo", replica=1)
        echo.resume("echo", replica=1)
    assert state(echo, "echo", 1) == ("ready", None)
    assert ask(echo, service="echo", replica=1)[0] == 200
    assert echo.faults[-1].kind == "pause"
    assert echo.faults[-1].end is not None
    with pytest.raises(LabError, match="not paused"):
        echo.resume("echo", replica=1)


def test_a_paused_replica_can_be_killed(echo: Stack) -> None:
    """A frozen process takes no signal but SIGKILL; the pause is over with it."""
    echo.pause("echo", replica=1)
    echo.kill("echo", replica=1)
    assert state(echo, "echo", 1) == ("exited", 137)
    pause, kill = echo.faults[-2:]
    assert (pause.kind, kill.kind) == ("pause", "kill")
    assert pause.end is not None
    assert kill.end is None
    echo.start("echo", replica=1)


def test_scale(echo: Stack) -> None:
    """When `scale` returns the proxy sends to every replica, and to none that has gone."""
    echo.scale("echo", 4)
    assert {r.number for r in echo.states() if r.service == "echo"} == {1, 2, 3, 4}
    assert all(ask(echo, service="echo", replica=n)[0] == 200 for n in range(1, 5))
    with balanced(echo) as counts:
        assert len(counts) == 4
    echo.scale("echo", 1)
    assert {r.number for r in echo.states() if r.service == "echo"} == {1}
    assert {ask(echo)[0] for _ in range(20)} == {200}
    echo.scale("echo", 2)
    scale = echo.faults[-1]
    assert (scale.kind, scale.replica, scale.detail) == ("scale", None, "to 2")
    assert scale.end is not None
    assert scale.end > scale.start


def test_scale_leaves_the_dead_dead(echo: Stack) -> None:
    """Scaling with a killed replica failed, as if the dead one had not come up."""
    echo.kill("echo", replica=2)
    echo.scale("echo", 3)
    assert [state(echo, "echo", n)[0] for n in (1, 2, 3)] == ["ready", "exited", "ready"]
    echo.scale("echo", 1)
    assert [f.end is None for f in echo.faults if f.kind == "kill"][-1] is False
    echo.scale("echo", 2)
    assert state(echo, "echo", 2)[0] == "ready"


def test_what_cannot_be_scaled(echo: Stack) -> None:
    """Replicas that nobody would call are refused, not started."""
    with pytest.raises(LabError, match="not a count"):
        echo.scale("echo", 0)
    with pytest.raises(LabError, match="echo, count calls store"):
        echo.scale("store", 2)
    with pytest.raises(LabError, match="no service"):
        echo.scale("eco", 2)


def test_rollout_loses_no_request(echo: Stack) -> None:
    """Behind a proxy that asks for health, replicas that drain are replaced unnoticed."""
    answers: list[tuple[int, Any]] = []
    over = threading.Event()

    def traffic() -> None:
        while not over.is_set():
            answers.append(ask(echo))
            time.sleep(0.005)

    threads = [threading.Thread(target=traffic) for _ in range(2)]
    for thread in threads:
        thread.start()
    echo.rollout("echo", {"VERSION": "second", "NUMBER": 7})
    changed = len(answers)
    eventually(lambda: len(answers) > changed + 10)
    over.set()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answers} == {200}
    versions = [answer["version"] for _, answer in answers]
    assert versions[0] == "first"
    assert set(versions[changed + 4 :]) == {"second"}
    assert ask(echo, "/environment", "echo")[1]["environment"]["NUMBER"] == "7"
    assert (echo.faults[-1].kind, echo.faults[-1].detail) == ("rollout", "VERSION, NUMBER")
    echo.rollout("echo", {"VERSION": "first"})


def test_delay_errors_heal(echo: Stack) -> None:
    """Faults that the proxy makes: all, a share, none again; each is in the list with its time."""
    known = len(echo.faults)
    echo.inject_delay("echo", 0.25)
    assert seconds_of(lambda: ask(echo)) >= 0.25
    echo.clear_faults("echo")
    echo.inject_errors("echo", 429, share=0.5)
    statuses = [ask(echo)[0] for _ in range(40)]
    assert 5 <= statuses.count(429) <= 35
    assert statuses.count(200) + statuses.count(429) == 40
    echo.inject_errors("echo", 503)
    assert ask(echo)[0] == 503
    echo.clear_faults("echo")
    answers = [(seconds_of(lambda: ask(echo)), ask(echo)[0]) for _ in range(20)]
    assert min(answers)[0] < 0.2
    assert {status for _, status in answers} == {200}
    delay, some, every = echo.faults[known:]
    assert [str(f) for f in (delay, some, every)] == [
        "delay echo (0.25 s, 100%)",
        "errors echo (429, 50%)",
        "errors echo (503, 100%)",
    ]
    assert some.end is not None
    assert some.end <= every.start + 0.1
    assert None not in (delay.end, every.end)


def test_a_fault_outlives_its_proxy(echo: Stack) -> None:
    """A proxy started anew that forgets a fault, which the list of faults still shows."""
    echo.inject_errors("echo", 503)
    echo.kill("proxy")
    echo.start("proxy")
    assert ask(echo)[0] == 503
    assert echo.faults[-2].kind == "errors"
    assert echo.faults[-2].end is None
    echo.clear_faults("echo")
    assert ask(echo)[0] == 200


@pytest.mark.parametrize("share", [0, -0.5, 1.01, 0.005, float("nan")])
def test_a_share_is_whole_percents(echo: Stack, share: float) -> None:
    """Envoy's filter would round silently, and the lab would measure another share."""
    known = echo.faults
    with pytest.raises(LabError, match="not a share"):
        echo.inject_delay("echo", 1, share=share)
    with pytest.raises(LabError, match="not a share"):
        echo.inject_errors("echo", share=share)
    assert echo.faults == known


def test_faults_that_cannot_be(echo: Stack) -> None:
    """No proxy in front, no delay, no error status, no such service: told, not ignored."""
    with pytest.raises(LabError, match="No proxy in front of store"):
        echo.inject_delay("store", 1)
    with pytest.raises(LabError, match="no delay"):
        echo.inject_delay("echo", 0)
    with pytest.raises(LabError, match="not an error status"):
        echo.inject_errors("echo", 200)
    with pytest.raises(LabError, match="no service"):
        echo.clear_faults("eco")


def test_limit_cpu(echo: Stack) -> None:
    """A limit that holds for the replica of yesterday only, or that nobody can lift."""

    def cores() -> float:
        return float(ask(echo, "/burn", "echo")[1]["cores"])

    echo.limit_cpu("echo", 0.05)
    assert cores() < 0.08
    echo.kill("echo")
    echo.start("echo")
    assert cores() < 0.08
    limit = echo.faults[-2]
    assert (str(limit), limit.end) == ("limit-cpu echo (0.05 cores)", None)
    echo.pause("echo")
    time.sleep(0.2)
    assert state(echo, "echo") == ("paused", None)
    with pytest.raises(TimeoutError):
        ask(echo, "/ready", "echo", patience=0.5)
    echo.resume("echo")
    echo.limit_cpu("echo", 0.06)
    echo.clear_faults("echo")
    first, second = (f for f in echo.faults if f.kind == "limit-cpu")
    assert first.end is not None and second.end is not None
    assert first.end <= second.start < second.end
    eventually(lambda: cores() > 0.12)  # where others keep this machine busy, not at once
    with pytest.raises(LabError, match="too few to run"):
        echo.limit_cpu("echo", 0)
    with pytest.raises(LabError, match="no service 'eco'"):
        echo.limit_cpu("eco", 1)


@pytest.fixture(scope="module", params=RUNTIMES)
def cuttable(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The echo stack, with pairs that can be cut off from each other."""
    folder = tmp_path_factory.mktemp("cuttable") / "echo"
    shutil.copytree(Path(ECHO).parent, folder)
    file = folder / "compose.yaml"
    pairs = "x-partitions: [[echo, store], [proxy, echo]]"
    file.write_text(file.read_text().replace("services:", f"{pairs}\n\nservices:", 1))
    with Stack(str(file), runtime=request.param) as stack:
        yield stack


def test_partition(cuttable: Stack) -> None:
    """Between the two nothing passes, an open connection stays; to all others they answer."""
    assert ask(cuttable, service="echo")[0] == 200
    cuttable.partition("echo", "store")
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(ask(cuttable, service="echo", patience=30)[0])
    )
    waiting.start()
    with pytest.raises(TimeoutError):
        ask(cuttable, service="echo", replica=2, patience=1)
    assert answers == []
    assert ask(cuttable, "/ready")[0] == 200
    host, _, port = cuttable.address("store").partition(":")
    with socket.create_connection((host, int(port)), 5) as store:
        store.sendall(b"PING\r\n")
        assert store.recv(16) == b"+PONG\r\n"
    fault = cuttable.faults[-1]
    assert (str(fault), fault.end) == ("partition echo (from store)", None)
    cuttable.clear_faults("store")
    waiting.join()
    assert answers == [200]  # what had been sent meanwhile has come
    assert ask(cuttable, service="echo", replica=2)[0] == 200
    assert cuttable.faults[-1].end is not None


def test_partition_of_a_proxy(cuttable: Stack) -> None:
    """Replicas that come while the proxy is cut off from them: it must not reach them either."""
    cuttable.partition("proxy", "echo")
    eventually(lambda: ask(cuttable, "/ready")[0] == 503)
    cuttable.scale("echo", 3)
    assert ask(cuttable, "/ready", "echo", replica=3)[0] == 200
    time.sleep(1)
    assert {ask(cuttable, "/ready")[0] for _ in range(10)} == {503}
    cuttable.clear_faults("echo")
    eventually(lambda: {ask(cuttable, "/ready")[0] for _ in range(10)} == {200})
    cuttable.scale("echo", 2)


def test_what_cannot_be_cut_off(cuttable: Stack) -> None:
    """A pair with no relay between: told, not ignored."""
    with pytest.raises(LabError, match="does not name the pair"):
        cuttable.partition("store", "proxy")
    with pytest.raises(LabError, match="no service 'stor'"):
        cuttable.partition("echo", "stor")


# --- jobs -------------------------------------------------------------------------------------


def test_job(echo: Stack) -> None:
    """A job reaches the services by their names and hands back exit code, output and time."""
    result = echo.run("count")
    assert result.exit_code == 0
    assert result.output.startswith("count ")
    assert 0 < result.seconds < 60
    assert state(echo, "count") == ("absent", None)
    first, second = (int(r.output.split()[1]) for r in (result, echo.run("count")))
    assert second == first + 3
    with pytest.raises(LabError, match="store is not a job"):
        echo.run("store")


def test_a_job_ends_with_its_caller(echo: Stack) -> None:
    """Interrupting the cell of a long job left it running, unseen."""
    with socket.socket(socket.AF_UNIX) as line:
        assert echo._supervisor is not None
        line.connect(str(echo._supervisor.info.socket))
        line.sendall(orders.encode(orders.Run(echo.ident, "wait")))
        eventually(lambda: state(echo, "wait")[0] != "absent")
    eventually(lambda: state(echo, "wait")[0] == "absent")


# --- several stacks, bad stacks ---------------------------------------------------------------


def test_two_stacks_of_one_lab(echo: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two learners, one lab: neither sees the other's store, ports, files or end."""
    monkeypatch.setenv("GREETING", "good day")
    monkeypatch.setenv("FAIL", "yes")
    with Stack(ECHO, runtime=echo.runtime) as other:
        ports = [{p for r in s.states() for p in r.ports.values()} for s in (echo, other)]
        assert not ports[0] & ports[1]
        assert ask(other)[1]["greeting"] == "good day"
        assert ask(other)[1]["count"] == 2
        assert ask(echo)[1]["greeting"] == "hello"
        failed = other.run("count")
        assert failed.exit_code == 1
        assert "told to fail" in failed.output
        hoarder(other)
    assert other.states() == []
    assert repr(other).endswith("not running")
    with pytest.raises(LabError, match="not running"):
        other.url("proxy")
    other.down()
    assert ask(echo)[0] == 200


def hoarder(stack: Stack) -> None:
    """Beyond its memory limit a replica is killed, alone."""
    with pytest.raises((OSError, http.client.HTTPException, AssertionError)):
        assert ask(stack, "/hoard", "echo", replica=2)[0] != 200
    eventually(lambda: state(stack, "echo", 2) == ("exited", 137))
    assert state(stack, "echo", 1) == ("ready", None)


def test_a_service_that_dies(runtime: str, write: Write) -> None:
    """The error says which service, with which exit code, after which last words."""
    program = "import sys; print('first'); print('last words', file=sys.stderr); sys.exit(3)"
    path = write(f"  web:\n{SERVICE % program}{PORT}    ports: ['127.0.0.1::8000']\n")
    stack = Stack(path, runtime=runtime)
    with pytest.raises(ServiceFailed, match="web ended with exit code 3") as caught:
        stack.up()
    assert "first" in caught.value.hint
    assert "last words" in caught.value.hint
    assert stack.states() == []
    assert all(d.path != path for supervisor in living() for d in supervisor.call(orders.List()))


def test_a_dependency_that_fails(runtime: str, write: Write) -> None:
    """Who waits for a service that failed does not start; the failure is what is told."""
    path = write(
        f"  first:\n{SERVICE % 'raise SystemExit(4)'}"
        f"  second:\n{SERVICE % 'open(1)'}"
        "    depends_on: {first: {condition: service_completed_successfully}}\n"
    )
    with pytest.raises(ServiceFailed, match="first ended with exit code 4"):
        Stack(path, runtime=runtime).up()


def test_a_port_that_is_taken(runtime: str, write: Write) -> None:
    """A fixed port of somebody else: said before anything starts, with the port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        path = write(f"  web:\n{SERVICE % 'input()'}{PORT}    ports: ['127.0.0.1:{port}:8000']\n")
        with pytest.raises(PortTaken, match=f"Port {port}, which web asks for"):
            Stack(path, runtime=runtime).up()


def test_a_mount_that_is_missing(runtime: str, write: Write, tmp_path: Path) -> None:
    """Docker would make an empty folder in its place, owned by root."""
    path = write(f"  web:\n{SERVICE % 'input()'}    volumes: ['./models:/models:ro']\n")
    with pytest.raises(LabError, match="models, which is not there"):
        Stack(path, runtime=runtime).up()
    assert not (tmp_path / "models").exists()


def test_up_again_after_the_end(runtime: str, write: Write) -> None:
    """A stack that somebody else took down could neither be started again nor taken down."""
    path = write(f"  one:\n{SERVICE % 'import time; time.sleep(100)'}")
    with Stack(path, runtime=runtime) as stack:
        supervisor, ident = stack._supervisor, stack.ident
        assert supervisor is not None
        supervisor.call(orders.Down(ident))
        assert stack.states() == []
        with pytest.raises(LabError, match="has been taken down"):
            stack.logs("one")
        assert stack.up() is stack
        assert stack.ident != ident
        assert stack.up() is stack
        assert state(stack, "one") == ("ready", None)
        supervisor.call(orders.Down(stack.ident))


DATABASE = """  database:
    image: ${LAB_IMAGE:-lab-services}
    command: [python, -m, lab_services.services.postgres]
    environment:
      {HOST: 0.0.0.0, PORT: '5432', POSTGRES_PASSWORD: secret, POSTGRES_DATA: /data/postgres}
    volumes: ['kept:/data']
    stop_signal: SIGINT
    ports: ['127.0.0.1::5432']
    healthcheck: {test: [CMD, pg_isready, -h, 127.0.0.1]}
  writer:
    image: ${LAB_IMAGE:-lab-services}
    command: [python, -c, "%s"]
    environment: {DATABASE_URL: 'postgresql://postgres:secret@database:5432/postgres'}
    depends_on: {database: {condition: service_healthy}}
volumes: {kept: {}}
"""
WRITER = (
    "import os, psycopg; connection = psycopg.connect(os.environ['DATABASE_URL'], autocommit=True);"
    "connection.execute('create table flight as select 1545 as number')"
)


def test_a_database(runtime: str, write: Write) -> None:
    """A service that cannot log in; a killed database whose volume starts afresh."""
    with Stack(write(DATABASE % WRITER), runtime=runtime).up() as stack:
        eventually(lambda: state(stack, "writer") == ("exited", 0))

        def read() -> list[tuple[Any, ...]]:
            url = f"postgresql://postgres:secret@{stack.address('database')}"
            with psycopg.connect(f"{url}/postgres") as connection:
                return connection.execute("select number from flight").fetchall()

        assert read() == [(1545,)]
        stack.kill("database")
        stack.start("database")
        assert read() == [(1545,)]


# --- helpers ----------------------------------------------------------------------------------


def seconds_of(act: Callable[[], object]) -> float:
    """How long it takes."""
    begin = time.monotonic()
    act()
    return time.monotonic() - begin


@contextmanager
def held_connection(stack: Stack, replica: int) -> Iterator[Callable[[], bytes]]:
    """A connection to a replica that stays open over several requests."""
    port = int(stack.url("echo", replica=replica).rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.5)

    def request() -> bytes:
        connection.request("GET", "/")
        return connection.getresponse().read()

    yield request
    connection.close()


@contextmanager
def balanced(stack: Stack) -> Iterator[set[str]]:
    """The replicas that the proxy counts as its healthy hosts."""
    port = int(stack.url("proxy", port=9901).rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/clusters")
    text = connection.getresponse().read().decode()
    connection.close()
    yield {line.split("::")[1] for line in text.splitlines() if "::health_flags::healthy" in line}
