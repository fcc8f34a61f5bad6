"""The `lab` command as a user has it: a process of its own, with exit code and two outputs."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.warm import Warm

PREDICTOR = Path(__file__).with_name("predictor.yaml")
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


class Terminal:
    """Calls `lab` with supervisors of its own, apart from those that run on this machine."""

    def __init__(self, state: Path, warm: Warm) -> None:
        self.state = state
        self._warm = warm
        self.environment = {**os.environ, "LAB_STATE": str(state)}
        self.environment.pop("LAB_RUNTIME", None)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, warm: Warm) -> Iterator["Terminal"]:
        """One whose supervisors end, and take their stacks down, with the block."""
        # Not tmp_path: the path of a socket may have 104 bytes on macOS.
        state = Path(tempfile.mkdtemp(prefix="lab-", dir="/tmp"))
        terminal = cls(state, warm)
        yield terminal
        for supervisor in terminal.supervisors():
            supervisor.send_signal(signal.SIGTERM)
            supervisor.wait(30)
        shutil.rmtree(state)

    def begin(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start the command and do not wait."""
        return subprocess.Popen(
            [sys.executable, "-c", "from lab_services.command import main; main()", *words],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self, *words: str, fails: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; it must end with the exit code `fails`, without traceback."""
        ended = self._warm.run(
            "lab_services.command", *words, environment={**self.environment, **environment}
        )
        seen = (ended.returncode, "Traceback" in ended.stderr)
        assert seen == (fails, False), ended.stdout + ended.stderr
        return ended

    def supervisors(self) -> list[psutil.Process]:
        """The supervisors that live, found by their state folder and not by what they say."""
        found = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                ours = "lab_services.stack.supervisor_process" in words
                if ours and process.environ().get("LAB_STATE") == str(self.state):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue  # it has just ended, or is not ours
        return found

    def nothing_is_left(self) -> bool:
        """No supervisor, and no file of one."""
        files = [path for path in self.state.rglob("*") if not path.is_dir()]
        return not self.supervisors() and not files


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Ask until it is so. Fails when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.05)
