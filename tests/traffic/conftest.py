"""A real server for traffic to meet, on a free port."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from lab_services.stack import loopback


@dataclass
class Service:
    """tests/traffic/service.py on uvicorn."""

    port: int
    process: subprocess.Popen[bytes]

    def url(self, path: str = "/predict") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def seen(self) -> list[list[object]]:
        """Client port, path and body of every request since the last call."""
        return loopback.get(self.url("/seen"), timeout=10).json()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="session")
def running_service() -> Iterator[Service]:
    listener = socket.create_server(("127.0.0.1", 0))
    # Of a socket that it is handed uvicorn does not know that it is one of TCP, and leaves this
    # out: an answer's end would wait 40 ms for the client to acknowledge its beginning.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    command = [sys.executable, "-m", "uvicorn", "service:app", "--log-level", "warning"]
    command += ["--app-dir", str(Path(__file__).parent), "--no-access-log"]
    command += ["--fd", str(listener.fileno())]
    process = subprocess.Popen(command, pass_fds=[listener.fileno()])
    service = Service(listener.getsockname()[1], process)
    listener.close()
    yield service
    process.kill()
    process.wait()


@pytest.fixture
def service(running_service: Service) -> Service:
    running_service.seen()
    return running_service


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def generators_of(pid: int) -> list[psutil.Process]:
    """The generator processes that a process has started."""
    children = psutil.Process(pid).children()
    return [child for child in children if "lab_services.traffic.generator" in child.cmdline()]


@pytest.fixture
def script(tmp_path: Path):
    """Start Python code in a process of its own, whose temporary folder is empty."""
    started: list[subprocess.Popen[str]] = []
    folder = tmp_path / "temporary"
    folder.mkdir()

    def start(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"TMPDIR": str(folder)},
        )
        started.append(process)
        return process

    start.folder = folder  # type: ignore[attr-defined]
    yield start
    for process in started:
        process.kill()
        process.communicate()
