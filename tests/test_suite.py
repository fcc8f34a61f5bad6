"""`make test`: what fails fails it, and nothing that it has started outlives it."""

import os
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
# Tests that fail as often as a file says, and a step that runs them.
UNLUCKY = """
import os, pathlib, pytest

@pytest.mark.xdist_group("servers")
@pytest.mark.parametrize("n", range({tests}))
def test_it(n):
    file = pathlib.Path({folder!r}, str(n))
    left = int(file.read_text()) if file.exists() else {fails}
    file.write_text(str(max(0, left - 1)))
    assert not left

def test_good():
    with pathlib.Path({folder!r}, "good").open("a") as runs:
        runs.write("1")
"""
JUDGED = """
import pathlib, sys
from tests import suite
suite.CACHE = pathlib.Path({folder!r}, "cache")
suite.from_outside = list
words = ["-q", "-c", {folder!r} + "/pytest.ini", "-o", f"cache_dir={{suite.CACHE}}", {file!r}]
suite.STEPS = {{"chance": ("pytest", *words, *{parallel!r})}}
sys.exit(suite.main())
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


@pytest.mark.parametrize(
    ("tests", "fails", "parallel", "runs", "passes"),
    [
        (2, 1, ("-p", "xdist.plugin", "-n", "2", "--dist=loadgroup"), 2, True),
        (2, 2, (), 2, False),
        (6, 1, (), 1, False),
    ],
    ids=["unlucky", "wrong", "too many"],
)
def test_a_failing_test_has_a_second_try_and_no_third(
    tmp_path: Path, tests: int, fails: int, parallel: tuple[str, ...], runs: int, passes: bool
) -> None:
    """A change refused by a busy moment; a fault called one, or let through in silence."""
    file, folder = tmp_path / "test_one.py", str(tmp_path)
    file.write_text(UNLUCKY.format(tests=tests, folder=folder, fails=fails))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = xdist_group: of xdist")
    code = JUDGED.format(folder=folder, file=str(file), parallel=parallel)
    command = [sys.executable, "-c", code]
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert (ended.returncode == 0) is passes, ended.stdout + ended.stderr
    assert ("again, with nothing beside" in ended.stdout) is (runs == 2)
    assert ("Failed at first" in ended.stdout) is (passes and runs == 2)
    left = {int((tmp_path / str(n)).read_text()) for n in range(tests)}
    assert left == {max(0, fails - runs)}
    assert (tmp_path / "good").read_text() == "1"
