"""The process runtime's rewriting: what a container gets from Docker, a process gets from here."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from lab_services.errors import LabError
from lab_services.stack import Stack, compose, envoy, servers
from lab_services.stack.messages import Replica
from lab_services.stack.ports import HOLDS
from lab_services.stack.process import ProcessRuntime
from lab_services.stack.servers import BinaryMissing, binary
from lab_services.stack.zygote_client import Child
from tests.stack.conftest import Write

FILE = """\
services:
  web:
    image: x
    command: [python, -m, web, --port, "8000", --port=8001, --bind, 0.0.0.0:8000, --host, 0.0.0.0,
              --files, /app/code, --other, /apple, --limit, "8000", -p, "8001", -p, "1"]
    environment:
      PORT: "8000"
      HOST: 0.0.0.0
      PYTHONPATH: /app:/app/lib
      STORE: redis://store:6379/0
      BOTH: store:6379,store:6380,my-store:6379
      FILES: file:///app/data.db
      ELSEWHERE: http://example.org/app
    ports: ["127.0.0.1::8000", "127.0.0.1::8001"]
    volumes: ["./code/app:/app:ro", "./models:/code", "kept:/app/data"]
    deploy: {replicas: 3, resources: {limits: {cpus: "1"}}}
  store:
    image: x
    command: [redis-server, --port, "6379", --dir, /data]
    ports: ["127.0.0.1::6379", "127.0.0.1::6380"]
    environment: {PORT: "6380"}
    volumes: ["kept:/data"]
volumes:
  kept:
"""


class Recorder:
    """Takes the place of the zygote: keeps what it is told to start."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []

    def start(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        cores: Sequence[int] = (),
    ) -> Child:
        self.started.append(
            {"argv": list(argv), "environment": dict(environment), "cores": list(cores)}
        )
        child = Child(2**22 + len(self.started))  # beyond every process id
        child.ended.set()
        return child


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[[str, dict[str, int]], ProcessRuntime]]:
    """Prepares and starts replicas of a file with a recorder for a zygote."""
    made = []

    def launch(text: str, counts: dict[str, int]) -> ProcessRuntime:
        path = tmp_path / "compose.yaml"
        path.write_text(text)
        runtime = ProcessRuntime(compose.read(path, {}), "test", tmp_path, Recorder())
        runtime.prepare(lambda text: None)
        runtime.launch(counts)
        made.append(runtime)
        return runtime

    yield launch
    for runtime in made:
        runtime.remove()


def orders(runtime: ProcessRuntime) -> list[dict[str, Any]]:
    """What the recorder was told."""
    recorder: Any = runtime._spawner
    started: list[dict[str, Any]] = recorder.started
    return started


def test_rewriting(launch: Callable[..., ProcessRuntime], tmp_path: Path) -> None:
    """Ports, hosts, services and mounted paths become those of loopback and of this machine."""
    runtime = launch(FILE, {"store": 1, "web": 2})
    ports = {(r.service, r.number): r.ports for r in runtime.replicas()}
    store, first, second = orders(runtime)
    web = ports["web", 1]
    assert first["argv"] == [
        sys.executable, "-m", "web", "--port", str(web[8000]), f"--port={web[8001]}",
        "--bind", f"127.0.0.1:{web[8000]}", "--host", "127.0.0.1",
        "--files", f"{tmp_path}/code/app/code", "--other", "/apple", "--limit", "8000",
        "-p", str(web[8001]), "-p", "1",
    ]  # fmt: skip
    environment = first["environment"]
    assert environment["PORT"] == str(web[8000])
    assert environment["HOST"] == "127.0.0.1"
    assert environment["PYTHONPATH"] == f"{tmp_path}/code/app:{tmp_path}/code/app/lib"
    stored = ports["store", 1]
    assert environment["STORE"] == f"redis://127.0.0.1:{stored[6379]}/0"
    assert environment["BOTH"] == (
        f"127.0.0.1:{stored[6379]},127.0.0.1:{stored[6380]},my-store:6379"
    )
    assert environment["FILES"] == f"file://{tmp_path}/code/app/data.db"
    assert environment["ELSEWHERE"] == "http://example.org/app"
    assert second["environment"]["PORT"] == str(ports["web", 2][8000])
    assert store["argv"][-4:-2] == ["--port", str(stored[6379])]
    assert store["argv"][-1] == str(tmp_path / "volumes/kept")
    every = [port for each in ports.values() for port in each.values()]
    assert len(set(every)) == len(every) == 6


def test_a_port_that_the_service_is_not_told(write: Write) -> None:
    """A server that takes its usual port whatever it is given was waited for in vain."""
    path = write("  one: {image: x, command: [redis-server], ports: ['127.0.0.1::6379']}\n")
    with pytest.raises(LabError, match="one is not told its port 6379"):
        Stack(path, runtime="process").up()


def test_the_kernels_environment_stays_outside(
    launch: Callable[..., ProcessRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that reads a variable of the reader's shell works here and fails in a container."""
    monkeypatch.setenv("SECRET", "of the reader")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environment = orders(launch(FILE, {"store": 1}))[0]["environment"]
    assert "SECRET" not in environment
    assert "OMP_NUM_THREADS" not in environment
    assert environment["PATH"] == os.environ["PATH"]


@pytest.mark.skipif(not HOLDS, reason="this system gives a bound port to nobody else")
def test_a_port_is_held_until_the_end(launch: Callable[..., ProcessRuntime]) -> None:
    """A port that was free when it was chosen was sometimes another learner's when it was bound."""
    runtime = launch(FILE, {"store": 1})
    port = runtime.replicas()[0].ports[6379]
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", port))
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
    runtime.remove()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


def test_it_is_removed_at_the_moment_when_a_watch_begins(
    launch: Callable[..., ProcessRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removal waited for a thread that had not begun, and left the stack's folder."""
    runtime = launch(FILE, {})

    class Late(threading.Thread):
        def start(self) -> None:
            runtime.remove()
            super().start()

    monkeypatch.setattr(threading, "Thread", Late)
    runtime.hold_to_cores("web", 0.5)
    assert runtime.closing.is_set()
    assert runtime.failures == []


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_cores_are_spread(
    launch: Callable[..., ProcessRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two services of one core each were both held to the first core while others were idle."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 9})
    other = FILE.replace("  store:\n    image: x\n", "  store:\n    deploy: {resources: {limits: "
                         "{cpus: '2'}}}\n    image: x\n")  # fmt: skip
    runtime = launch(other, {"store": 1, "web": 3})
    assert [order["cores"] for order in orders(runtime)] == [[3, 5], [9], [3], [5]]


def test_several_proxies_have_their_own_ports(
    launch: Callable[..., ProcessRuntime], tmp_path: Path
) -> None:
    """Two replicas of Envoy read one configuration, and the second found its ports taken."""
    (tmp_path / "envoy.yaml").write_text(
        "admin: {address: {socket_address: {address: 0.0.0.0, port_value: 9901}}}\n"
    )
    runtime = launch(
        "services:\n  proxy:\n    image: x\n    command: [envoy, -c, /e.yaml]\n"
        '    ports: ["127.0.0.1::9901"]\n    volumes: ["./envoy.yaml:/e.yaml:ro"]\n',
        {"proxy": 2},
    )
    files = [Path(order["argv"][order["argv"].index("-c") + 1]) for order in orders(runtime)]
    assert len(set(files)) == 2
    for file, replica in zip(files, runtime.replicas(), strict=True):
        assert f"port_value: {replica.ports[9901]}" in file.read_text()


def test_a_new_replica_starts_with_nothing(write: Write) -> None:
    """A killed container that is started anew has none of its old files; nor has a process."""
    program = "import os,time; print(os.listdir('.')); open('f','w'); time.sleep(60)"
    path = write(f"  one:\n    image: x\n    command: [python, -u, -c, {program!r}]\n")
    with Stack(path, runtime="process") as stack:
        for _ in range(2):
            deadline = time.monotonic() + 20
            while not stack.logs("one"):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert stack.logs("one") == "[]"
            stack.kill("one")
            stack.start("one")


def test_a_binary_that_is_missing(write: Write) -> None:
    """A server that is not installed: said before anything starts, with the way to get it."""
    path = write("  one:\n    image: x\n    command: [prometheus-of-mars]\n")
    with pytest.raises(BinaryMissing, match="no program 'prometheus-of-mars'") as caught:
        Stack(path, runtime="process").up()
    assert "Install prometheus-of-mars" in caught.value.hint


def test_how_to_get_a_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint is the command of this project's systems, not a guess."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BinaryMissing) as caught:
        binary("prometheus")
    assert "apt-get install prometheus" in caught.value.hint
    assert "brew install" in caught.value.hint


def test_a_launcher_needs_what_it_launches(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    """A module that starts a server which is not there: found out by its last words."""
    monkeypatch.setattr(servers, "_WHEELS", {})
    monkeypatch.setattr(servers.shutil, "which", lambda command: None)
    launcher = "[python, -m, lab_services.services.prometheus]"
    topology = compose.read(Path(write(f"  one:\n    image: x\n    command: {launcher}\n")), {})
    (service,) = topology.services.values()
    assert binary(servers.server(("python", "-m", "lab_services.services.server", "a:app")))
    with pytest.raises(BinaryMissing, match="no program 'prometheus'"):
        binary(servers.server(service.command))


# --- Envoy's configuration --------------------------------------------------------------------


def service_with(tmp_path: Path, text: str, command: str = "envoy -c /e.yaml") -> Any:
    """A stack of one proxy with that configuration."""
    (tmp_path / "envoy.yaml").write_text(text)
    path = tmp_path / "compose.yaml"
    path.write_text(
        f"services:\n  proxy:\n    image: x\n    command: {command}\n"
        '    ports: ["127.0.0.1::9901"]\n    volumes: ["./envoy.yaml:/e.yaml:ro"]\n'
        '  web: {image: x, command: c, ports: ["127.0.0.1::8000"]}\n'
    )
    return compose.read(path, {})


CLUSTER = """\
static_resources:
  clusters:
    - name: web
      dns_refresh_rate: %s
      load_assignment:
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address:
          {address: web, port_value: 8000}}}}]}]
"""


@pytest.mark.parametrize(
    ("text", "command", "reason"),
    [
        ("a: [", "envoy -c /e.yaml", "not valid YAML"),
        ("- a", "envoy -c /e.yaml", "not an Envoy bootstrap"),
        ("a: 1", "envoy", "by `-c FILE`"),
        ("a: 1", "envoy -c /other.yaml", "is not mounted"),
        (CLUSTER % "500ms", "envoy -c /e.yaml", "no duration '500ms'"),
        (CLUSTER % "1s", "envoy -c /e.yaml", "needs an `admin` address"),
        (
            "admin: {address: {socket_address: {port_value: 1}}}\n" + CLUSTER % "1s",
            "envoy -c /e.yaml",
            "publish Envoy's administration port 1",
        ),
    ],
)
def test_a_bad_configuration(tmp_path: Path, text: str, command: str, reason: str) -> None:
    """What is wrong in a proxy's file is said in words, not as a KeyError."""
    file = service_with(tmp_path, text, command)
    with pytest.raises(LabError, match=reason):
        envoy.proxies_of(file, "web")


def test_a_configuration_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same file read and parsed for each service and proxy at every change of a stack."""
    text = "admin: {address: {socket_address: {address: 0.0.0.0, port_value: 9901}}}\n"
    file = service_with(tmp_path, text + CLUSTER % "0.25s")
    parsed: list[str] = []
    load = yaml.safe_load

    def counted(text: str) -> Any:
        parsed.append(text)
        return load(text)

    monkeypatch.setattr(yaml, "safe_load", counted)
    for _ in range(3):
        assert list(envoy.proxies_of(file, "web")) == ["proxy"]
        assert envoy.called_services(file.service("proxy"), file) == [("web", 8000)]
    assert len(parsed) == 1


def test_clusters_become_files(tmp_path: Path) -> None:
    """The process-run Envoy reads endpoints from files; all else stays as the pattern has it."""
    text = "admin: {address: {socket_address: {address: 0.0.0.0, port_value: 9901}}}\n"
    file = service_with(tmp_path, text + CLUSTER % "0.25s" + "    - {name: other, type: STATIC}\n")
    config = envoy.read_config(file.service("proxy"))
    assert envoy.clusters(config, file) == [envoy.Cluster("web", "web", 8000, 0.25, 0.0)]
    changed = envoy.for_processes(config, file, {9901: 23456}, tmp_path)
    assert changed["admin"]["address"]["socket_address"] == {
        "address": "127.0.0.1",
        "port_value": 23456,
    }
    web, other = changed["static_resources"]["clusters"]
    assert web["type"] == "EDS"
    assert "load_assignment" not in web
    assert other == {"name": "other", "type": "STATIC"}
    assert "load_assignment" in config["static_resources"]["clusters"][0]


@pytest.mark.skipif(sys.platform != "linux", reason="psutil knows this of Linux alone")
def test_children_that_have_ended_are_counted() -> None:
    """A database whose work vanishes with each connection, where a container counts it."""
    burn = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(10**7))'])"
    told = subprocess.Popen(
        [sys.executable, "-c", f"{burn}; print('done', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with told:
        assert told.stdout is not None and told.stdout.readline() == b"done\n"
        (alone,) = (t.user + t.system for t in [psutil.Process(told.pid).cpu_times()])
        replica = Replica("postgres", 1, "ready", {}, ident=str(told.pid))
        (used,) = ProcessRuntime._measure(None, [replica])
        assert used.cpu_seconds > alone + 0.05
        told.kill()
