"""What looks after a stack, or waits for something: its end shows, and no wait is for ever."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from requests.exceptions import ConnectionError, ReadTimeout

from lab_services.errors import LabError
from lab_services.stack import (
    containers,
    docker,
    envoy,
    process,
    prune,
    runtime,
    state,
    supervisor_client,
)
from lab_services.stack.compose import read
from lab_services.stack.docker import DockerRuntime
from lab_services.stack.faults import Kill, Start
from lab_services.stack.messages import Failed, Replica, Usage
from lab_services.stack.orders import Up
from lab_services.stack.process import ProcessRuntime
from lab_services.stack.record import StackRecord
from lab_services.stack.runtime import ServiceFailed
from lab_services.stack.state import SupervisorInfo
from lab_services.stack.supervisor import Caller, Supervisor
from lab_services.stack.zygote_client import Child

WEB = "services:\n  web: {image: x, command: [sleep, '9'], deploy: {resources: {limits: %s}}}\n"


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[ProcessRuntime]:
    """A stack of one service with a limit of memory, of which nothing has been started."""
    file = tmp_path / "compose.yaml"
    file.write_text(WEB % "{memory: 1m}")
    made = ProcessRuntime(read(file, {}), "1-2", tmp_path, None)
    yield made
    made.remove()


def test_the_end_of_a_watch_shows(
    plain: ProcessRuntime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit of memory that nobody looked after any more, and nobody knew."""
    monkeypatch.setattr(process, "_MEMORY_INTERVAL", 0.001)
    monkeypatch.setattr(plain, "replicas", lambda: 1 / 0)
    plain.prepare(lambda _: None)
    (watch,) = plain._watches
    watch.join(5)
    supervisor = Supervisor(SupervisorInfo("1", 1, None))
    supervisor.stacks["1-2"] = StackRecord("1-2", "some/lab", plain)
    with pytest.raises(LabError, match="the limit of memory is not seen to any more: ZeroDiv"):
        supervisor._record("1-2")
    assert "ZeroDivisionError" in capsys.readouterr().err  # in the supervisor's log


def test_a_watch_ends_before_what_it_asks(tmp_path: Path) -> None:
    """A stack that was taken down said in its log that its proxies were not seen to any more."""
    file = tmp_path / "compose.yaml"
    service = "{image: x, command: [sleep, '9']}"
    file.write_text(f"x-partitions: [[a, b]]\nservices:\n  a: {service}\n  b: {service}\n")
    made = ProcessRuntime(read(file, {}), "1-2", tmp_path, None)
    looking = threading.Event()

    def look() -> None:
        looking.set()
        made.closing.wait()
        time.sleep(0.1)
        made._reached("a", "b", 1)

    made._watch("what is asked of a relay", look, 0.0)
    assert looking.wait(5)
    made.remove()
    assert made.failures == []


def test_a_killed_process_that_does_not_end(
    plain: ProcessRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill that was told as done, and a start after it that was refused: "is running"."""
    monkeypatch.setattr(process, "_PATIENCE", 0.01)
    child = Child(2**22 + 1)  # beyond every process id
    plain._children["web", 1], plain._ports["web", 1] = child, {}
    with pytest.raises(LabError, match="has not ended within"):
        plain.signal(plain.replica("web", 1), "SIGKILL")
    child.ended.set()
    plain.signal(plain.replica("web", 1), "SIGKILL")


def test_memory_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service with other rights ended the watch over the memory of all."""

    def denied(self: psutil.Process) -> None:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "memory_full_info", denied)
    assert process._memory(psutil.Process()) > 1e6


def test_a_start_right_after_a_kill(plain: ProcessRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that came while the engine was still killing was refused: "is running"."""
    state, killing, started = ["ready"], threading.Event(), []

    def slow(replica: Replica, signal_name: str) -> None:
        killing.set()
        time.sleep(0.1)
        state[0] = "exited"

    monkeypatch.setattr(plain, "replicas", lambda *_: [Replica("web", 1, state[0], {})])
    monkeypatch.setattr(plain, "signal", slow)
    monkeypatch.setattr(plain, "_relaunch", started.append)
    record = StackRecord("1-2", "some/lab", plain)
    kill = threading.Thread(target=record.do, args=[Kill("web")])
    kill.start()
    killing.wait()
    record.do(Start("web"))
    kill.join()
    assert [replica.state for replica in started] == ["exited"]


def test_two_changes_of_one_service(plain: ProcessRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaled during a rollout, a service lost the one or the other."""
    plain_replace = runtime.replace

    def slow(*what: Any, **more: Any) -> Any:
        time.sleep(0.05)
        return plain_replace(*what, **more)

    monkeypatch.setattr(runtime, "replace", slow)
    changes = [{"replicas": 3}, {"environment": {"A": "1"}}, {"stop_grace": 2.0}]
    threads = [
        threading.Thread(target=plain._state_anew, args=["web"], kwargs=each) for each in changes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    web = plain.services["web"]
    assert (web.replicas, web.environment, web.stop_grace) == (3, {"A": "1"}, 2.0)


@pytest.fixture
def late_admin() -> Iterator[str]:
    """An administration of Envoy whose first answer is none."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            if len(asked) == 1:
                self.connection.sendall(b"no HTTP\r\n\r\n")
                self.close_connection = True
            else:
                self.send_response(200)
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_envoy_is_asked_until_it_answers(late_admin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One late answer on a busy machine failed a fault in the middle of a measurement."""
    assert envoy._ask_until_answered(late_admin, "POST", "/runtime_modify?a=1") == ""
    monkeypatch.setattr(envoy, "_PATIENCE", 0.05)
    monkeypatch.setattr(envoy, "_POLL", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(envoy.NoAnswer):
        envoy._ask_until_answered(address, "POST", "/")


def test_a_proxy_that_answers_late(plain: ProcessRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """`scale` failed when the proxy's administration did not answer the first question."""
    answers: list[Any] = [envoy.NoAnswer("busy"), [set()]]

    def ask(*_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(envoy, "healthy_hosts", ask)
    monkeypatch.setattr(plain, "address", lambda *_: "127.0.0.1:1")
    replica = runtime.Replica("proxy", 1, "starting", {})
    plain._wait_for_proxy("web", replica, envoy.Proxy(9901, ("web",), 8000, 0.0))
    assert answers == []


def test_a_supervisor_that_does_not_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a notebook's Python hung for ever on a supervisor that hung."""
    monkeypatch.setattr(supervisor_client, "_GO", 0.05)
    stubborn = subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE)
    try:
        supervisor_client._wait(stubborn)
        assert stubborn.returncode == -9
    finally:
        stubborn.kill()
    alone = supervisor_client.SupervisorClient(SupervisorInfo("1", 4711, None))
    monkeypatch.setattr(SupervisorInfo, "alive", True)
    monkeypatch.setattr(alone, "call", lambda order, patience: None)
    with pytest.raises(LabError, match="does not go") as caught:
        alone.close()
    assert "kill -9 4711" in caught.value.hint


@pytest.mark.parametrize("fails", [False, True])
def test_a_clean_up_that_fails_at_the_end(
    plain: ProcessRuntime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: bool
) -> None:
    """Containers that stayed when a notebook was closed: no log, and an exit code of 0."""
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise SystemExit

    def remove() -> None:
        if fails:
            raise LabError("It stays.")

    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(docker, "available", lambda: (False, ""))
    info = SupervisorInfo("12345678", os.getpid(), None)
    state.make(info.ident)
    info.write()
    supervisor = Supervisor(info)
    supervisor.stacks["1-2"] = StackRecord("1-2", "some/lab", plain)
    supervisor.stacks["1-2"].up_finished.set()
    with monkeypatch.context() as broken:
        broken.setattr(plain, "remove", remove)
        with pytest.raises(SystemExit):
            supervisor.end()
    assert codes == [state.LEFT if fails else 0]
    assert info.folder.exists() is fails
    # As `lab down --all` does it.
    assert prune.prune() == ["folder of the supervisor 12345678"] * fails
    assert not info.folder.exists()


@pytest.mark.parametrize("code", [0, state.LEFT])
def test_what_a_supervisor_could_not_remove_is_told(
    capsys: pytest.CaptureFixture[str], code: int
) -> None:
    """The end of a notebook's Python that says nothing of what it leaves behind."""
    process = subprocess.Popen(["sh", "-c", f"read end; exit {code}"], stdin=subprocess.PIPE)
    supervisor_client._wait(process)
    assert ("lab down --all" in capsys.readouterr().err) is (code == state.LEFT)


def test_a_supervisor_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lab down --all` hung on a supervisor that was stopped, with its line full of callers."""
    monkeypatch.setattr(supervisor_client, "_GO", 0.3)
    address = tmp_path / "s"
    monkeypatch.setattr(SupervisorInfo, "socket", address)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(address))
        deaf.listen(1)
        alone = supervisor_client.SupervisorClient(SupervisorInfo("1", 4711, None))
        with pytest.raises(LabError, match="does not go"):
            alone.close()


def test_clean_up_does_not_hide_why_it_did_not_start(
    plain: ProcessRuntime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ "The engine does not remove everything" where a port was taken."""

    def fail(text: str) -> None:
        raise LabError(text)

    monkeypatch.setattr(SupervisorInfo, "folder", tmp_path)
    supervisor = Supervisor(SupervisorInfo("1", 1, None))
    monkeypatch.setattr(supervisor, "_make", lambda *_: plain)
    monkeypatch.setattr(plain, "up", lambda _: fail("A port is taken."))
    with monkeypatch.context() as broken:
        broken.setattr(plain, "remove", lambda: fail("It stays."))
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(LabError, match="A port is taken") as caught:
            order = Up("some/lab", str(plain.compose.path), "process", {})
            supervisor.carry_out(order, Caller(ours, lambda _: None))
    told = Failed.by(caught.value)
    assert "lab down --all" in told.hint and "It stays." in told.hint


def test_memory_of_a_process_that_has_gone(
    plain: ProcessRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new replica was killed for the memory of the one before it."""

    class Signalled(Child):
        def signal(self, number: int) -> None:
            killed.append(self)

    killed: list[Child] = []
    old, new = Signalled(1), Signalled(1)
    plain._children["web", 1], plain._ports["web", 1] = old, {}
    usage = [Usage("web", 1, 1.0, 1 << 30, 0.0)]

    def measure(_: list[Replica]) -> list[Usage]:
        plain._children["web", 1] = new
        return usage

    monkeypatch.setattr(plain, "_measure", measure)
    plain._look_at_memory()
    assert killed == []
    monkeypatch.setattr(plain, "_measure", lambda _: usage)
    plain._look_at_memory()
    assert killed == [new]
    assert "its limit is" in plain.logs("web", 1, 5)
    plain._children.clear()


def test_ports_are_held_by_their_lock(plain: ProcessRuntime) -> None:
    """ "Dictionary changed size": logs that were asked for while another replica was started."""

    class Guarded(dict):
        def looked_at(self, *_: Any) -> None:
            assert plain._lock._is_owned()  # type: ignore[attr-defined]

        def __setitem__(self, key: Any, value: Any) -> None:
            self.looked_at()
            super().__setitem__(key, value)

        def __iter__(self) -> Iterator[Any]:
            self.looked_at()
            return super().__iter__()

        def values(self) -> Any:
            self.looked_at()
            return super().values()

    plain._ports = Guarded()
    plain.prepare(lambda _: None)
    assert plain.logs("web", None, 5) == ""
    assert plain._taken() == set()


def test_a_job_whose_caller_has_gone_before_it_is_there(
    plain: ProcessRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt while a job was being started left it running, unseen, for ever."""

    class Job(Child):
        def signal(self, number: int) -> None:
            self.exit_code = 128 + number
            self.ended.set()

    ours, theirs = socket.socketpair()
    theirs.close()
    monkeypatch.setattr(plain, "_spawn", lambda *_: plain._ports.update({("web", 1): {}}) or Job(1))
    monkeypatch.setattr(plain, "discard", lambda _: None)
    plain._log("web", 1).touch()
    with ours:
        ended = plain.run_job(plain.services["web"], Caller(ours, lambda _: None).when_gone)
    assert ended.exit_code == 137


class Engine:
    """A Docker engine that has nothing, and says whether it is still connected to."""

    host = "unix:///nowhere"

    def __init__(self) -> None:
        self.client = self.api = self
        self.open = True

    def containers(self, **_: Any) -> list[Any]:
        return []

    networks = containers

    def volumes(self, **_: Any) -> dict[str, list[Any]]:
        return {"Volumes": []}

    def close(self) -> None:
        self.open = False


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """Those that have been connected to."""
    made: list[Engine] = []

    def connect() -> Engine:
        made.append(Engine())
        return made[-1]

    monkeypatch.setattr(docker, "connect", connect)
    return made


def contained(tmp_path: Path) -> DockerRuntime:
    """A stack on that engine."""
    file = tmp_path / "compose.yaml"
    file.write_text(WEB % "{cpus: 1}")
    return DockerRuntime(read(file, {}), "1-2", tmp_path, "tests")


def test_clients_are_closed(engines: list[Engine], tmp_path: Path) -> None:
    """A supervisor that started ten stacks held ten pools of connections to the engine."""
    contained(tmp_path).remove()
    docker.left_behind()
    docker.remove_left_behind("1")
    assert [engine.open for engine in engines] == [False, False, False]


def test_compose_that_hangs(
    engines: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull without an end held the cell that started the stack."""
    monkeypatch.setattr(docker, "_LAUNCH_TIMEOUT", 0.1)
    monkeypatch.setattr(docker, "_SETTLE", 0.0)
    monkeypatch.setattr(docker, "compose_command", lambda: ["sh", "-c", "sleep 60", "sh"])
    made = contained(tmp_path)
    with pytest.raises(ServiceFailed, match="within 0 s"):
        made._compose_up({})
    assert made._process is not None and made._process.returncode == -9
    made.remove()


def test_a_job_in_a_container_ends_with_its_caller(
    engines: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait without a bound, for a job that whoever asked for it has left."""
    made, killed = contained(tmp_path), threading.Event()
    api: Any = engines[0]
    api.kill = lambda *_: killed.set()
    api.wait = lambda *_, **__: killed.wait(5) and {"StatusCode": 137}
    api.logs = api.remove_container = lambda *_, **__: b""
    monkeypatch.setattr(made, "_create", lambda _: None)
    monkeypatch.setattr(made, "replica", lambda *_: Replica("web", 1, "starting", {}))
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        ended = made.run_job(made.services["web"], Caller(ours, lambda _: None).when_gone)
    assert ended.exit_code == 137


@pytest.mark.parametrize("error", [ReadTimeout("slow"), ConnectionError("Read timed out.")])
def test_a_killed_container_that_does_not_end(
    engines: list[Engine], tmp_path: Path, error: Exception
) -> None:
    """An engine that hangs held whoever killed a replica for ever, and every order after it."""
    made, bounds = contained(tmp_path), []

    def wait(ident: str, timeout: float | None = None) -> None:
        bounds.append(timeout)
        raise error

    api: Any = engines[0]
    api.kill, api.wait = lambda *_: None, wait
    with pytest.raises(LabError, match="whether web 2 has got its SIGKILL") as caught:
        made.signal(Replica("web", 2, "ready", {}, ident="c"), "SIGKILL")
    assert bounds == [docker._END_TIMEOUT]
    assert "lab down --all" in caught.value.hint


def test_a_cut_that_fails_on_one_side_is_lifted_on_the_other(
    engines: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two containers, one went on losing what it sent, and no order could change that."""
    made, told, failing = contained(tmp_path), [], {"b"}
    made.services = dict.fromkeys("ab", made.services["web"])
    made._images, made._addresses = {"x": "x"}, {"a": "10.0.0.1", "b": "10.0.0.2"}
    there = [Replica(name, 1, "ready", {}, ident=name) for name in "ab"]
    monkeypatch.setattr(made, "replicas", lambda: there)

    def create(_: str, command: list[str], *, host_config: str, **__: Any) -> dict[str, str]:
        told.append((host_config, command[3:]))
        return {"Id": host_config}

    api: Any = engines[0]
    api.create_host_config = lambda *, network_mode, **_: network_mode.removeprefix("container:")
    api.create_container = create
    api.wait = lambda helper, timeout: {"StatusCode": int(helper in failing)}
    api.start = api.logs = api.remove_container = lambda *_, **__: b""
    pair = frozenset({"a", "b"})
    with pytest.raises(LabError, match="b cannot be cut off"):
        made.separate(pair, cut=True)
    assert sorted(told) == [("a", ["10.0.0.2"]), ("b", ["10.0.0.1"])]
    told.clear()
    failing.clear()
    made.separate(pair, cut=False)
    assert sorted(told) == [("a", []), ("b", [])]
    told.clear()
    made.separate(pair, cut=False)
    assert told == []


def cut_off(made: DockerRuntime, api: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Two containers that can be cut off from each other; the labels of the helpers made for it."""
    made.services = dict.fromkeys("ab", made.services["web"])
    made._images, made._addresses = {"x": "x"}, {"a": "10.0.0.1", "b": "10.0.0.2"}
    there = [Replica(name, 1, "ready", {}, ident=name) for name in "ab"]
    monkeypatch.setattr(made, "replicas", lambda *_: there)
    labels: list[Any] = []

    def create(*_: Any, **what: Any) -> dict[str, str]:
        labels.append(what["labels"])
        return {"Id": "helper"}

    api.create_host_config = lambda **_: {}
    api.create_container = create
    api.wait = lambda *_, **__: {"StatusCode": 0}
    api.start = api.logs = api.remove_container = lambda *_, **__: b""
    return labels


@pytest.mark.parametrize("step", ["create_container", "start", "wait"])
def test_an_engine_that_says_nothing_of_a_cut(
    engines: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A helper that hung was waited for without a bound, and every start with it."""
    made, bounds = contained(tmp_path), []
    api: Any = engines[0]
    cut_off(made, api, monkeypatch)

    def silent(*_: Any, **what: Any) -> None:
        bounds.append(what.get("timeout"))
        raise ReadTimeout("slow")

    setattr(api, step, silent)
    with pytest.raises(LabError, match="has been cut off") as caught:
        made.separate(frozenset({"a", "b"}), cut=True)
    assert "lab down --all" in caught.value.hint
    assert set(bounds) == {docker._END_TIMEOUT if step == "wait" else None}


def test_a_helper_that_stays_goes_with_its_stack(
    engines: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container of a cut that could not be removed was left for ever; one taken for a replica."""
    made, asked = contained(tmp_path), []
    api: Any = engines[0]
    labels = cut_off(made, api, monkeypatch)

    def busy(*_: Any, **__: Any) -> None:
        raise ConnectionError("busy")

    api.remove_container = busy
    made.separate(frozenset({"a", "b"}), cut=True)
    assert [each[containers.STACK] for each in labels] == ["1-2", "1-2"]

    def listed(**what: Any) -> list[Any]:
        asked.append(what["filters"]["label"])
        return []

    api.containers = listed
    made._containers()
    assert asked == [[f"{containers.STACK}=1-2", containers.SERVICE]]


def test_all_replicas_are_held_to_their_cores(
    engines: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first container that the engine did not change kept the others at their old limit."""
    made, tried = contained(tmp_path), []
    there = [Replica("web", number, "ready", {}, ident=str(number)) for number in (1, 2, 3)]
    monkeypatch.setattr(made, "replicas", lambda *_: there)

    def update(ident: str, **_: Any) -> None:
        assert made._launching._is_owned()  # type: ignore[attr-defined]
        tried.append(ident)
        if ident != "3":
            raise ReadTimeout("slow")

    api: Any = engines[0]
    api.update_container = update
    with pytest.raises(LabError, match="of web 1, 2 cannot be changed: slow"):
        made.hold_to_cores("web", 0.5)
    assert tried == ["1", "2", "3"]


def test_all_is_removed_that_can_be(
    engines: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request that took too long left what came after it: the network, the volumes."""
    made, removed = contained(tmp_path), set()

    def remove(ident: str, **_: Any) -> None:
        if (ident, "tried") not in removed and ident == "slow":
            removed.add((ident, "tried"))
            raise ReadTimeout("slow")
        removed.add(ident)

    api: Any = engines[0]
    api.containers = lambda **_: [{"Id": i} for i in ("slow", "quick") if i not in removed]
    api.networks = lambda **_: [{"Id": i} for i in ("net",) if i not in removed]
    api.remove_container = api.remove_network = remove
    made.remove()
    assert removed >= {"slow", "quick", "net"}


@pytest.mark.parametrize("refused", [False, True])
def test_a_removal_has_an_end(
    engines: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """An engine that takes the order to remove and does not carry it out held `lab down`."""
    monkeypatch.setattr(docker, "_REMOVE_TIMEOUT", 0.1)
    made = contained(tmp_path)

    def remove(*_: Any, **__: Any) -> None:
        if refused:
            raise docker.docker.errors.APIError("no")

    api: Any = engines[0]
    api.containers = lambda **_: [{"Id": "stubborn"}]
    api.remove_container = remove
    api.remove_network = api.remove_volume = remove
    with pytest.raises(LabError, match="everything of the stack: no" if refused else "stubborn is"):
        made.remove()
