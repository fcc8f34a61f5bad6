"""The `lab` command for tests."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command.terminal import Terminal
from tests.warm import Warm


@pytest.fixture
def lab(warm: Warm) -> Iterator[Terminal]:
    # Not tmp_path: the path of a socket may have 104 bytes on macOS.
    state = Path(tempfile.mkdtemp(prefix="lab-", dir="/tmp"))
    terminal = Terminal(state, warm)
    yield terminal
    for supervisor in terminal.supervisors():
        supervisor.send_signal(signal.SIGTERM)  # it takes its stacks down
        supervisor.wait(30)
    shutil.rmtree(state)
