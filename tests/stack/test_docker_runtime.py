"""What only containers promise: their rights, their ports, an engine that is missing or slow."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest

from lab_services.errors import LabError
from lab_services.stack import containers, engine, image
from lab_services.stack import docker as docker_runtime
from lab_services.stack.compose import read
from lab_services.stack.docker import DockerRuntime, left_behind, remove_left_behind
from lab_services.stack.runtime import (
    Cancelled,
    PortTaken,
    RuntimeUnavailable,
    ServiceFailed,
)

WEB = """
  web:
    image: ${LAB_IMAGE:-lab-services}
    command: [python, -m, http.server, "8000"]
    ports: ["127.0.0.1::8000"]
    healthcheck: {test: [CMD, curl, -fsS, "http://127.0.0.1:8000/"]}
"""

JOB = """
  job:
    image: ${LAB_IMAGE:-lab-services}
    profiles: [job]
    command: [sh, -c, %r]
"""

Make = Callable[..., DockerRuntime]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Stacks from the text of their services; removed at the end, and nothing may be left."""
    made: list[DockerRuntime] = []

    def build(services: str, supervisor: str = "tests") -> DockerRuntime:
        ident = f"{time.monotonic_ns():x}"[-8:]
        folder = tmp_path / ident
        folder.mkdir()
        (folder / "compose.yaml").write_text(f"services:\n{services}")
        made.append(DockerRuntime(read(folder / "compose.yaml", {}), ident, folder, supervisor))
        return made[-1]

    yield build
    for runtime in made:
        runtime.remove()
        assert left(runtime) == []
        runtime._engine.client.close()


def left(runtime: DockerRuntime) -> list[str]:
    api, mine = runtime._api, {"label": f"{containers.STACK}={runtime.ident}"}
    return [
        *(c["Id"] for c in api.containers(all=True, filters=mine)),
        *(n["Name"] for n in api.networks(filters=mine)),
        *(v["Name"] for v in api.volumes(filters=mine)["Volumes"] or []),
    ]


def job_output(runtime: DockerRuntime) -> str:
    runtime.prepare(print)
    return runtime.run_job(runtime.services["job"], lambda _: nullcontext()).output


# --- rights -------------------------------------------------------------------------------------


@pytest.mark.docker
def test_containers_have_no_rights(make: Make) -> None:
    """A service that runs as root, keeps a capability or could win one by a set-uid program."""
    status = job_output(make(JOB % "cat /proc/self/status"))
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert fields["Uid"].split() == ["10001"] * 4
    assert int(fields["CapBnd"], 16) == int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"].strip() == "1"


@pytest.mark.docker
def test_root_is_refused(make: Make) -> None:
    """A Compose file that takes the ordinary user back."""
    runtime = make(WEB + "    user: root\n")
    runtime.prepare(print)
    with pytest.raises(LabError, match="web asks for the user root"):
        runtime.launch({"web": 1})


@pytest.mark.docker
def test_ports_are_on_loopback_only(make: Make) -> None:
    """A lab's services offered to everybody in the cafe."""
    runtime = make(WEB)
    runtime.up(print)
    details = runtime._api.inspect_container(runtime.replica("web", 1).ident)
    bindings = [b for found in details["NetworkSettings"]["Ports"].values() for b in found]
    assert [b["HostIp"] for b in bindings] == ["127.0.0.1"]
    port = int(bindings[0]["HostPort"])
    assert runtime.address("web", 8000) == f"127.0.0.1:{port}"
    others = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    assert others, "this machine has no address but loopback: nothing to test"
    for address in others:
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=0.5)


@pytest.mark.docker
def test_a_folder_that_has_gone_keeps_nothing_from_starting(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stack that cannot be changed any more, since the folder of its notebook was replaced."""
    gone = tmp_path / "gone"
    gone.mkdir()
    runtime = make(WEB)
    monkeypatch.chdir(gone)
    gone.rmdir()
    runtime.up(print)


@pytest.mark.docker
def test_nothing_is_interpolated_twice(make: Make) -> None:
    """A password with a dollar sign that arrives without it."""
    services = JOB % 'echo "$$SECRET" "$$HOME"' + '    environment: {SECRET: "a$$b$${c}"}\n'
    assert job_output(make(services)).split() == ["a$b${c}", "/data"]


@pytest.mark.docker
def test_memory_limit_holds(make: Make) -> None:
    """A limit that swap softens, so that a stack behaves otherwise than on plain processes."""
    limits = "    deploy: {resources: {limits: {memory: 32m, cpus: 1}}}\n"
    runtime = make(JOB % "python -c 'bytearray(64 << 20)'" + limits + WEB + limits)
    runtime.up(print)
    assert runtime.run_job(runtime.services["job"], lambda _: nullcontext()).exit_code == 137
    stated = runtime._api.inspect_container(runtime.replica("web", 1).ident)["HostConfig"]
    assert stated["Memory"] == stated["MemorySwap"] == 32 << 20
    assert stated["CpuQuota"] == stated["CpuPeriod"] == 100_000


@pytest.mark.docker
def test_usage_is_asked_side_by_side(make: Make) -> None:
    """An engine that answers at its next whole second, asked once for every replica in turn."""
    runtime = make(WEB + "    deploy: {replicas: 4}\n")
    runtime.up(print)
    begin = time.monotonic()
    usage = runtime.usage()
    assert time.monotonic() - begin < 2.5
    assert [u.number for u in usage] == [1, 2, 3, 4]
    assert all(u.cpu_seconds > 0 and 1e6 < u.memory < 1e8 for u in usage)
    assert all(abs(u.at - time.time()) < 5 for u in usage)


# --- a start that fails -------------------------------------------------------------------------


@pytest.mark.docker
def test_service_that_dies_at_start_is_noticed_at_once(make: Make) -> None:
    """Ninety seconds of waiting for a service that has long ended."""
    runtime = make(WEB.replace("http.server", "no.such.module"))
    runtime.prepare(print)
    begin = time.monotonic()
    with pytest.raises(ServiceFailed, match=r"web ended with exit code 1\b") as failure:
        runtime.up(print)
    assert time.monotonic() - begin < 10
    assert "no.such.module" in failure.value.hint


@pytest.mark.docker
def test_program_that_is_not_in_the_image(make: Make) -> None:
    """An exit code of the container's init with no word about what was missing."""
    with pytest.raises(ServiceFailed, match="exit code 127") as failure:
        make(WEB.replace("[python,", "[no-such-program,")).up(print)
    assert "no-such-program" in failure.value.hint


@pytest.mark.docker
def test_image_that_is_nowhere(make: Make) -> None:
    """Compose's whole output instead of the engine's one line."""
    services = WEB.replace("${LAB_IMAGE:-lab-services}", "lab-services-no-such-image:none")
    with pytest.raises(ServiceFailed, match="could not be started"):
        make(services).up(print)


@pytest.mark.docker
def test_fixed_port_that_is_taken(make: Make) -> None:
    """`driver failed programming external connectivity` shown to a reader."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port}, which web asks for, is taken by"):
            make(WEB.replace("1::8000", f"1:{port}:8000")).up(print)


@pytest.mark.docker
def test_fixed_port_taken_after_the_check(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, when the other program was faster."""
    monkeypatch.setattr(docker_runtime, "check_fixed", lambda service: None)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)):
            make(WEB.replace("1::8000", f"1:{port}:8000")).up(print)


@pytest.mark.docker
def test_free_port_that_is_gone_is_replaced(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stacks that chose one port in the same moment."""
    choose = docker_runtime.free_port
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        offers = iter([taken])
        monkeypatch.setattr(
            docker_runtime, "free_port", lambda used: next(offers, 0) or choose(used)
        )
        runtime = make(WEB + "    deploy: {replicas: 2}\n")
        runtime.up(print)
    ports = {r.number: r.ports[8000] for r in runtime.states() if r.state == "ready"}
    assert set(ports) == {1, 2}
    assert taken not in ports.values()


# --- the end ------------------------------------------------------------------------------------


@pytest.mark.docker
@pytest.mark.parametrize("after", [0.05, 0.2, 0.4, 0.6, 0.8, 1.1])
def test_remove_in_the_middle_of_up(make: Make, after: float) -> None:
    """Containers that the engine finishes for a Compose that was killed."""
    runtime = make(
        WEB + "    deploy: {replicas: 5}\n    volumes: ['data:/data']\nvolumes: {data: }\n"
    )
    runtime.prepare(print)
    outcome: list[BaseException | None] = []

    def up() -> None:
        try:
            runtime.up(print)
            outcome.append(None)
        except LabError as error:
            outcome.append(error)

    starting = threading.Thread(target=up)
    starting.start()
    time.sleep(after)
    begin = time.monotonic()
    runtime.remove()
    assert time.monotonic() - begin < 5
    starting.join(5)
    assert not starting.is_alive()
    assert outcome == [None] or isinstance(outcome[0], Cancelled)
    time.sleep(1)
    assert left(runtime) == []


@pytest.mark.docker
def test_container_that_the_engine_finishes_late(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A Compose that is not ended; what the engine still makes for it after it has ended."""
    endless = tmp_path / "compose"
    endless.write_text("#!/bin/sh\nexec sleep 30\n")
    endless.chmod(0o755)
    monkeypatch.setattr(docker_runtime, "compose_command", lambda: (str(endless),))
    runtime = make(WEB)
    runtime.prepare(print)

    def late() -> None:
        tag = runtime._images[image.REPOSITORY]
        runtime._api.create_container(tag, labels=runtime._labels)

    def up() -> None:
        with pytest.raises(Cancelled):
            runtime.up(print)

    starting = threading.Thread(target=up)
    starting.start()
    time.sleep(0.5)
    threading.Timer(0.3, late).start()
    runtime.remove()
    starting.join(3)
    assert not starting.is_alive()
    time.sleep(1)
    assert left(runtime) == []


@pytest.mark.docker
def test_what_a_supervisor_left_is_found_and_removed(make: Make) -> None:
    """`lab down --all` after the machine lost its supervisor."""
    runtime = make(WEB + "    volumes: ['data:/data']\nvolumes: {data: }\n", supervisor="gone")
    other = make(WEB, supervisor="alive")
    runtime.up(print)
    other.up(print)
    assert {"gone", "alive"} <= left_behind()
    remove_left_behind("gone")
    assert left(runtime) == []
    assert "gone" not in left_behind()
    assert [r.state for r in other.states()] == ["ready"]


@pytest.mark.docker
def test_job_that_is_removed_at_work_is_cancelled(make: Make) -> None:
    """A job whose container vanished, taken for one that failed with 137."""
    runtime = make(JOB % "sleep 60")
    runtime.prepare(print)
    threading.Timer(1.5, runtime.remove).start()
    with pytest.raises(Cancelled):
        runtime.run_job(runtime.services["job"], lambda _: nullcontext())


# --- no engine ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("unix:///nowhere/docker.sock", "no such file or directory"),
        ("tcp://127.0.0.1:9", "connection refused"),
        ("tcp://192.0.2.1:2375", "another machine"),
        ("ssh://somebody@example.org", "another machine"),
    ],
)
def test_engine_that_is_not_there(monkeypatch: pytest.MonkeyPatch, host: str, reason: str) -> None:
    """A traceback of the SDK, or a long wait, where a reader has no Docker."""
    monkeypatch.setenv("DOCKER_HOST", host)
    begin = time.monotonic()
    there, why = docker_runtime.available()
    assert time.monotonic() - begin < 1
    assert not there
    assert reason in why
    with pytest.raises(RuntimeUnavailable, match=reason):
        engine.connect()


def test_engine_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`lab doctor` that waits a minute for an engine that is starting or stuck."""
    place = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(place)
        silent.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
        begin = time.monotonic()
        there, why = docker_runtime.available()
    assert time.monotonic() - begin < 2
    assert (there, "silent" in why) == (False, True)


@pytest.fixture
def compose_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No Compose from a wheel; PATH is an empty folder."""
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    engine.compose_command.cache_clear()
    yield tmp_path
    engine.compose_command.cache_clear()


def script(place: Path, version: str) -> None:
    place.write_text(f"#!/bin/sh\necho {version}\n")
    place.chmod(0o755)


def test_compose_that_is_not_there_or_old(compose_elsewhere: Path) -> None:
    """Compose 1, which knows none of the options, started all the same."""
    with pytest.raises(RuntimeUnavailable, match="Compose 2 is missing"):
        engine.compose_command()
    script(compose_elsewhere / "docker-compose", "1.29.2")
    assert docker_runtime.available()[0] is False


@pytest.mark.parametrize("version", ["2.40.3", "v2.40.3", "5.0.1"])
def test_compose_on_path(compose_elsewhere: Path, version: str) -> None:
    """A machine with a Compose of its own and no wheel for it, as macOS is."""
    place = compose_elsewhere / "docker-compose"
    script(place, version)
    assert engine.compose_command() == (str(place),)


def test_compose_as_a_plugin_goes_first(compose_elsewhere: Path) -> None:
    """Docker Desktop's own Compose passed over for another."""
    script(compose_elsewhere / "docker", "v2.40.3")
    script(compose_elsewhere / "docker-compose", "2.1.0")
    assert engine.compose_command() == (str(compose_elsewhere / "docker"), "compose")
