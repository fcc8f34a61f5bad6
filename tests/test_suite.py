"""`make test` that is told to end, or is killed: nothing that it has started runs on."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
# A step that stands in for pytest: it says that it is there, and would stay for a minute.
SUITE = """
from tests import suite
wait = "import time, pathlib; pathlib.Path({there!r}).touch(); time.sleep(60)"
suite.STEPS = {{"wait": ("python", "-c", wait)}}
suite.main()
"""
# A test whose fixture has started a program.
TEST = """
import pathlib, subprocess, sys, time, pytest

@pytest.fixture
def server():
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield
    started.kill()
    started.wait()

def test_it(server):
    pathlib.Path({there!r}).touch()
    time.sleep(60)
"""


def wait_until(condition: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.05)


def ended(command: list[str], there: Path, number: int) -> int:
    """The exit code of a command that is sent a signal once `there` is; no child outlives it."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_until(there.exists)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(number)
    code = process.wait(40)
    wait_until(lambda: not any(child.is_running() for child in children))
    return code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_what_a_step_has_started_ends_with_the_suite(tmp_path: Path, number: int) -> None:
    """pytest, and the labs that it runs, going on for a quarter of an hour after `make` is gone."""
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("Only Linux tells a child that its parent was killed.")
    there = tmp_path / "there"
    code = SUITE.format(there=str(there))
    assert ended([sys.executable, "-c", code], there, number) != 0


@pytest.mark.parametrize("several", [[], ["-n", "1"]])
def test_a_test_that_is_told_to_end_takes_down_what_it_started(
    tmp_path: Path, several: list[str]
) -> None:
    """A server of a fixture that nobody ends."""
    file, there = tmp_path / "test_one.py", tmp_path / "there"
    file.write_text(TEST.format(there=str(there)))
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += ["-c", str(ROOT / "pyproject.toml"), *several, str(file)]
    assert ended(command, there, signal.SIGTERM) == pytest.ExitCode.INTERRUPTED
