"""The zygote and the supervisor's side of it: a service process is one that a shell would start."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab_services import python
from lab_services.errors import LabError
from lab_services.stack.zygote import FORKS
from lab_services.stack.zygote_client import Child, ZygoteClient

PROGRAMS = Path(__file__).parent / "programs"
MODULE = [sys.executable, "-m", "probe_me"]
SCRIPT = [sys.executable, str(PROGRAMS / "probe_me.py")]

Run = Callable[..., tuple[Child, Path]]


@pytest.fixture(scope="module")
def children() -> Iterator[ZygoteClient]:
    """One zygote for all; whatever still runs goes with it."""
    made = ZygoteClient()
    yield made
    made.close()


@pytest.fixture
def run(children: ZygoteClient, tmp_path: Path) -> Run:
    """Starts a program; gives the child and its log."""

    def run(*words: str, cores: list[int] | None = None, **environment: str) -> tuple[Child, Path]:
        log = tmp_path / "log"
        known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROGRAMS), **environment}
        return children.start(words, known, tmp_path, log, cores or []), log

    return run


def end(child: Child) -> int | None:
    """Its exit code."""
    assert child.ended.wait(20)
    return child.exit_code


def read_when_there(log: Path) -> str:
    """The log, as soon as something is in it."""
    deadline = time.monotonic() + 20
    while not (log.exists() and log.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return log.read_text()


@pytest.mark.parametrize("start", [MODULE, SCRIPT], ids=["forked", "executed"])
@pytest.mark.parametrize(
    ("words", "code"), [(["exit", "0"], 0), (["exit", "3"], 3), (["say"], 1), (["raise"], 1)]
)
def test_exit_codes(run: Run, start: list[str], words: list[str], code: int) -> None:
    """A forked service ends with the code that a fresh interpreter would have ended with."""
    child, log = run(*start, *words)
    assert end(child) == code
    if words == ["say"]:
        assert log.read_text() == "a reason\n"
    if words == ["raise"]:
        assert log.read_text().endswith("ValueError: a fault\n")


@pytest.mark.parametrize("start", [MODULE, SCRIPT], ids=["forked", "executed"])
def test_what_a_service_finds(run: Run, tmp_path: Path, start: list[str]) -> None:
    """Nothing of the zygote's own environment, signals, files or modules shows through."""
    child, log = run(*start, "tell", "x y", GREETING="héllo")
    assert end(child) == 0, log.read_text()
    told: dict[str, Any] = json.loads(log.read_text())
    assert told["arguments"] == ["tell", "x y"]
    kept = {"PATH", "PYTHONPATH", "GREETING"}
    assert kept <= set(told["environment"]) <= {*kept, "LC_CTYPE", "__CF_USER_TEXT_ENCODING"}
    assert told["environment"]["GREETING"] == "héllo"
    assert Path(told["folder"]).resolve() == tmp_path.resolve()
    assert str(PROGRAMS) in told["path"]
    if start is MODULE:
        assert [Path(p).resolve() for p in told["path"][:1]] == [tmp_path.resolve()]
    assert told["name"] == "__main__"
    assert told["leader"]
    assert "default_int_handler" in told["signals"]["SIGINT"]
    assert told["signals"]["SIGHUP"] == str(signal.SIG_DFL)
    assert told["descriptors"] == 4  # the three, and the folder that is being read


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_cores(run: Run) -> None:
    """A limit of one core is one core."""
    core = max(os.sched_getaffinity(0))
    child, log = run(*MODULE, "tell", cores=[core])
    assert end(child) == 0
    assert json.loads(log.read_text())["cores"] == [core]


def test_killed_right_after_the_start(run: Run) -> None:
    """A signal that came before the child had made its group was lost."""
    for _ in range(20):
        child, _ = run(*MODULE, "wait")
        child.signal(signal.SIGKILL)
        assert end(child) == 137
        child.signal(signal.SIGKILL)  # it has ended: nobody else is hit


@pytest.mark.parametrize("start", [MODULE, SCRIPT], ids=["forked", "executed"])
def test_what_a_killed_service_had_written_is_there(run: Run, start: list[str]) -> None:
    """The last lines of a killed service stayed in its buffer."""
    child, log = run(*start, "wait", PYTHONUNBUFFERED="1")
    assert read_when_there(log) == "waiting\n"
    child.signal(signal.SIGKILL)
    assert end(child) == 137


def test_a_signal_is_handled(run: Run) -> None:
    """SIGTERM reaches the handler of the service, and its exit code is the service's own."""
    child, log = run(*MODULE, "graceful")
    read_when_there(log)
    child.signal(signal.SIGTERM)
    assert end(child) == 7


def test_what_a_service_has_started_goes_with_it(run: Run) -> None:
    """A service that ended left its own children running; a container takes them along."""
    child, log = run(*MODULE, "orphan")
    assert end(child) == 0
    other = int(log.read_text())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(other) and psutil.Process(other).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_forked_service_can_have_workers(run: Run) -> None:
    """Spawned workers import the main module anew, which they must find."""
    child, log = run(*MODULE, "spawn")
    assert end(child) == 0, log.read_text()


def test_not_python(run: Run) -> None:
    """A server that is not Python gets its arguments, environment and log all the same."""
    child, log = run("/bin/sh", "-c", 'echo "$0 $GREETING"; kill -TERM $$', "x y", GREETING="hello")
    assert end(child) == 128 + signal.SIGTERM
    assert log.read_text() == "x y hello\n"


def test_no_such_program(run: Run) -> None:
    """A program that is not there: an exit code and a line in the log."""
    child, log = run("/no/such/program")
    assert end(child) == 1
    assert "No such file" in log.read_text()


@pytest.mark.skipif(not FORKS, reason="services are executed afresh here")
def test_forked_services_do_not_share_their_chance(run: Run, tmp_path: Path) -> None:
    """Replicas that draw the same random numbers would all retry at the same moment."""
    drawn = []
    for _ in range(2):
        (tmp_path / "draw.py").write_text(
            "import random, numpy\nprint(random.random(), numpy.random.rand())"
        )
        child, log = run(sys.executable, "-m", "draw")
        assert end(child) == 0, log.read_text()
        drawn += log.read_text().split()
        log.unlink()
    assert len(set(drawn)) == 4


def test_a_zygote_that_is_killed(tmp_path: Path) -> None:
    """Its services go with it, their end is told, and the next start says so, at once."""
    children = ZygoteClient()
    environment = {"PYTHONUNBUFFERED": "1"}
    child = children.start([*SCRIPT, "wait"], environment, tmp_path, tmp_path / "log")
    read_when_there(tmp_path / "log")
    children._zygote.kill()
    assert end(child) == 137
    deadline = time.monotonic() + 5
    while psutil.pid_exists(child.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not psutil.pid_exists(child.pid)
    assert not children.alive
    with pytest.raises(LabError, match="has ended"):
        children.start(["/bin/true"], {}, tmp_path, tmp_path / "log")
    children.close()


NO_ROOM = """
import errno, os, runpy, sys
fork, refused = os.fork, []

def first_refused():
    if not refused:
        refused.append(True)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()

os.fork = first_refused
runpy.run_module("lab_services.stack.zygote", run_name="__main__")
"""


def test_no_room_for_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork that failed ended the zygote, and with it every service of every stack."""
    monkeypatch.setattr(
        python, "command", lambda module, descriptor: [sys.executable, "-c", NO_ROOM, descriptor]
    )
    with contextlib.closing(ZygoteClient()) as children:
        with pytest.raises(LabError, match="No process could be started: Resource temporarily"):
            children.start(["/bin/true"], {}, tmp_path, tmp_path / "log")
        assert end(children.start(["/bin/true"], {}, tmp_path, tmp_path / "log")) == 0


def test_closed_in_the_middle_of_its_imports(tmp_path: Path) -> None:
    """The end of a stack must not wait until the zygote has imported everything."""
    begin = time.monotonic()
    children = ZygoteClient()
    child = children.start(["/bin/sleep", "60"], {}, tmp_path, tmp_path / "log")
    children.close()
    assert time.monotonic() - begin < 5
    assert end(child) == 137
    assert not psutil.pid_exists(children._zygote.pid)
