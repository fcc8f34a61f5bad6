"""Who has started a stack may go in any way and at any moment: nothing is left."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from lab_services.errors import LabError
from lab_services.stack import Stack, messages, orders, state, supervisor_client
from lab_services.stack.docker import remove_left_behind
from lab_services.stack.prune import prune
from lab_services.stack.supervisor_client import SupervisorClient, living
from tests.stack.conftest import ECHO, Write
from tests.stack.kernels import REPOSITORY, Kernel
from tests.stack.leftovers import left, on_the_engine, processes, wait_until_nothing_is_left


@dataclass
class Root:
    """A root for supervisors that only this test uses."""

    path: Path
    supervisors: set[str] = field(default_factory=set)

    def look(self) -> list[SupervisorClient]:
        """The supervisors that live in it; all that were ever seen are remembered."""
        found = living()
        self.supervisors |= {supervisor.info.ident for supervisor in found}
        return found

    def nothing_is_left(self, since: float) -> None:
        """Within five seconds."""
        assert self.supervisors, "no supervisor was ever there: the test would prove nothing"
        wait_until_nothing_is_left(self.path, self.supervisors, since)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Root]:
    """Removed at the end with whatever a failed test has left."""
    path = Path(tempfile.mkdtemp(prefix="lab", dir="/tmp"))
    monkeypatch.setenv("LAB_STATE", str(path))
    made = Root(path)
    yield made
    for line in processes(path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line.split()[0]), signal.SIGKILL)
    for supervisor in made.supervisors if on_the_engine(made.supervisors) else ():
        remove_left_behind(supervisor)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def kernel(root: Root, runtime: str) -> Iterator[Kernel]:
    """A kernel that has made the echo stack, not started it."""
    made = Kernel(runtime)
    yield made
    made.close()


def half_way(root: Root, kernel: Kernel) -> str:
    """Begin `up` and come back in the middle of it."""
    request = kernel.begin("stack.up()")
    for text in kernel.progress():
        if "starting" in text or "ready" in text:
            break
    root.look()
    assert left(root.path, root.supervisors)
    return request


# --- the kernel goes --------------------------------------------------------------------------


def test_restart(root: Root, kernel: Kernel) -> None:
    """*Restart* in the menu: the old stack goes, the new kernel can start its own."""
    kernel.run("stack.up()")
    root.look()
    kernel.manager.restart_kernel()
    root.nothing_is_left(time.monotonic())


def test_shutdown(root: Root, kernel: Kernel) -> None:
    """The notebook is closed."""
    kernel.run("stack.up()")
    root.look()
    kernel.manager.shutdown_kernel()
    root.nothing_is_left(time.monotonic())


def test_killed(root: Root, kernel: Kernel) -> None:
    """The kernel is out of memory, or killed by hand: no handler of ours runs."""
    kernel.run("stack.up()")
    root.look()
    os.kill(kernel.pid, signal.SIGKILL)
    root.nothing_is_left(time.monotonic())


@pytest.mark.parametrize("after", [0.0, 0.15, 0.4])
def test_killed_in_the_middle_of_up(root: Root, kernel: Kernel, after: float) -> None:
    """What was just being made when the kernel died was forgotten by everybody."""
    half_way(root, kernel)
    time.sleep(after)
    os.kill(kernel.pid, signal.SIGKILL)
    root.nothing_is_left(time.monotonic())


def test_killed_with_a_child_that_holds_the_pipe(root: Root, kernel: Kernel) -> None:
    """A process that the kernel has forked keeps the pipe open after the kernel's end."""
    kernel.run("stack.up()")
    root.look()
    kernel.run(
        "import os, time\nchild = os.fork()\nif not child:\n    time.sleep(60)\n    os._exit(0)"
    )
    child = kernel.value("child")
    os.kill(kernel.pid, signal.SIGKILL)
    try:
        root.nothing_is_left(time.monotonic())
        assert psutil.pid_exists(child)
    finally:
        os.kill(child, signal.SIGKILL)


# --- the reader interrupts ----------------------------------------------------------------------


def test_an_interrupt_of_a_measurement_leaves_the_stack(root: Root, kernel: Kernel) -> None:
    """*Interrupt* during a long cell stops the cell; the services are as they were."""
    kernel.run("stack.up()")
    before = kernel.value("[(r.service, r.state, r.ident) for r in stack.states()]")
    request = kernel.begin("time.sleep(60)")
    time.sleep(0.3)
    kernel.manager.interrupt_kernel()
    assert kernel.result(request)["ename"] == "KeyboardInterrupt"
    time.sleep(0.5)
    assert kernel.value("[(r.service, r.state, r.ident) for r in stack.states()]") == before
    kernel.run("stack.down()")
    root.look()
    kernel.manager.shutdown_kernel()
    root.nothing_is_left(time.monotonic())


def test_an_interrupt_of_up_leaves_nothing_half_started(root: Root, kernel: Kernel) -> None:
    """*Interrupt* while a stack comes up takes it down; the same stack can be started again."""
    request = half_way(root, kernel)
    kernel.manager.interrupt_kernel()
    assert kernel.result(request)["ename"] == "KeyboardInterrupt"
    assert kernel.value("stack.states()") == []
    assert [supervisor.call(orders.List()) for supervisor in root.look()] == [[]]
    kernel.run("stack.up()")
    assert kernel.value("{r.state for r in stack.states()}") == {"ready", "exited"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
def test_ended_while_the_supervisor_starts(
    root: Root, runtime: str, number: signal.Signals
) -> None:
    """Before the supervisor has answered there is nobody yet who could tell it to go."""
    program = f"from lab_services.stack import Stack; Stack({ECHO!r}, {runtime!r}).up()"
    for after in (0.0, 0.05, 0.1):
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=REPOSITORY, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and not processes(root.path):
            time.sleep(0.005)
        time.sleep(after)
        root.look()
        process.send_signal(number)
        assert process.wait(timeout=20) == -number
    wait_until_nothing_is_left(root.path, root.supervisors, time.monotonic())


@pytest.mark.parametrize("after", [0.01, 0.05, 0.1])
def test_an_interrupt_while_the_supervisor_starts(root: Root, after: float) -> None:
    """The kernel lives on after an interrupt, and so did a supervisor that nobody knew of."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        with pytest.raises(KeyboardInterrupt):
            SupervisorClient.begin().close()
            time.sleep(1)  # on a fast machine it has come before
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    wait_until_nothing_is_left(root.path, set(), time.monotonic())


# --- the supervisor goes --------------------------------------------------------------------------


@pytest.fixture
def long(write: Write) -> str:
    """A stack of one service that costs nothing."""
    return write("  one:\n    image: ${LAB_IMAGE:-lab-services}\n    command: [sleep, '600']\n")


def test_a_killed_supervisor_takes_its_services_along(root: Root, runtime: str, long: str) -> None:
    """With the supervisor killed nobody could end its services; what is left on disk is swept."""
    supervisor = SupervisorClient.begin()
    stack = Stack(long, runtime, supervisor=supervisor).up()
    root.look()
    os.kill(supervisor.info.pid, signal.SIGKILL)
    supervisor.close()
    assert stack.states() == []
    stack.down()
    with pytest.raises(LabError, match="supervisor of this stack has gone"):
        Stack(long, runtime, supervisor=supervisor).up()
    deadline = time.monotonic() + 5
    while processes(root.path):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert left(root.path, root.supervisors)
    removed = prune()
    assert f"folder of the supervisor {supervisor.info.ident}" in removed
    assert (f"containers of the supervisor {supervisor.info.ident}" in removed) == (
        runtime == "docker"
    )
    assert left(root.path, root.supervisors) == []


def test_sweep_leaves_the_living(root: Root, runtime: str, long: str) -> None:
    """`lab down --all` of one terminal must not touch what a supervisor still looks after."""
    supervisor = SupervisorClient.begin(alone=True)
    with Stack(long, runtime, supervisor=supervisor) as stack:
        os.utime(supervisor.info.folder, (0, 0))  # however old
        assert not [line for line in prune() if supervisor.info.ident in line]
        (elsewhere := root.path / "elsewhere").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LAB_STATE", str(elsewhere))  # a terminal with another root
            assert not [line for line in prune() if supervisor.info.ident in line]
        shutil.rmtree(elsewhere)
        assert [r.state for r in stack.states()] == ["ready"]
    root.look()
    supervisor.close()
    root.nothing_is_left(time.monotonic())


def test_sweep_of_what_says_nothing(root: Root) -> None:
    """A supervisor killed before it could say who it is: swept too, but not one that just comes."""
    for name in ("old", "young"):
        state.make(name)
    os.utime(state.root() / "old", (0, 0))
    assert prune() == ["folder of the supervisor old"]
    assert (state.root() / "young").exists()


def test_own_supervisor_is_replaced_when_it_died(root: Root, long: str) -> None:
    """A notebook whose supervisor was killed goes on with a new one."""
    first = supervisor_client.own_supervisor()
    assert supervisor_client.own_supervisor() is first
    os.kill(first.info.pid, signal.SIGKILL)
    first.close()
    second = supervisor_client.own_supervisor()
    assert second.info.ident != first.info.ident
    with Stack(long, "process") as stack:
        assert stack.states()
    second.close()
    prune()


def test_told_to_go(root: Root, long: str) -> None:
    """SIGTERM, as a machine that shuts down sends it: a supervisor tidies up before it goes."""
    supervisor = SupervisorClient.begin(alone=True)
    Stack(long, "process", supervisor=supervisor).up()
    root.look()
    os.kill(supervisor.info.pid, signal.SIGTERM)
    root.nothing_is_left(time.monotonic())


def test_an_alone_supervisor_outlives_its_starter(root: Root, long: str) -> None:
    """`lab up` ends, its stack runs on until `lab down`."""
    program = (
        "from lab_services.stack import Stack\n"
        "from lab_services.stack.supervisor_client import SupervisorClient as Client\n"
        f"print(Stack({long!r}, 'process', supervisor=Client.begin(alone=True)).up().ident)"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    time.sleep(1)
    (supervisor,) = root.look()
    assert [d.ident for d in supervisor.call(orders.List())] == [run.stdout.strip()]
    assert supervisor.info.owner is None
    supervisor.close()
    root.nothing_is_left(time.monotonic())


def test_a_supervisor_that_cannot_start(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong in the supervisor's own start is told where it was started."""
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(LabError, match="The supervisor ended with 1 at its start"):
        SupervisorClient.begin()


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "Fly"}',
        b'{"type": "Down", "stack": "x", "height": 3}',
        b'{"type": "Do", "stack": "x", "change": {"type": "Kill", "service": 7}}',
        b"down, please",
    ],
)
def test_what_a_supervisor_does_not_know(root: Root, line: bytes) -> None:
    """A newer client, a wrong argument: an answer, and the supervisor lives on."""
    supervisor = SupervisorClient.begin()
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(supervisor.info.socket))
        end.sendall(line + b"\n")
        told = messages.decode(end.makefile("rb").readline())
    assert isinstance(told, messages.Failed)
    assert "knows no such order" in told.message
    assert supervisor.call(orders.List()) == []
    supervisor.close()
    assert not supervisor.info.alive


def test_a_supervisor_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an upgrade, a stack that runs since before ended every command in a traceback."""
    info = state.SupervisorInfo("12345678", 4711, None)
    monkeypatch.setattr(supervisor_client, "_answers", lambda *_: [b'{"result": []}\n'])
    with pytest.raises(LabError, match="another version") as caught:
        SupervisorClient(info).call(orders.List())
    assert "kill 4711" in caught.value.hint


# --- several users ----------------------------------------------------------------------------


def test_the_root_of_somebody_else(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes the folder of another user first must not get at that user's stacks."""
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (root.path / "lab-12345").mkdir(mode=0o700)  # the test's own user made it
    with pytest.raises(LabError, match="not a private folder of yours"):
        state.root()


@pytest.mark.parametrize("spoil", [
    lambda place: place.mkdir(mode=0o755),
    lambda place: (place.parent / "real").mkdir(mode=0o700) or place.symlink_to("real"),
])  # fmt: skip
def test_a_root_that_is_not_private(root: Root, spoil: Callable[[Path], object]) -> None:
    """A folder that others can read, or a link to somewhere else, is refused."""
    spoil(root.path / f"lab-{os.getuid()}")
    with pytest.raises(LabError, match="not a private folder"):
        state.root()


def test_a_root_that_is_too_long(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a socket is limited by the system, with an error that says nothing."""
    monkeypatch.setenv("LAB_STATE", str(root.path / ("long" * 25)))
    with pytest.raises(LabError, match="too long for a socket"):
        SupervisorClient.begin()


def test_only_the_user_can_reach_the_supervisor(root: Root) -> None:
    """On a shared machine nobody else may send orders or read logs."""
    supervisor = SupervisorClient.begin()
    places = [state.root(), supervisor.info.folder]
    assert [place.stat().st_mode & 0o777 for place in places] == [0o700, 0o700]
    assert (supervisor.info.folder / "supervisor.log").stat().st_mode & 0o077 == 0
    supervisor.close()
