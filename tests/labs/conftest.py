"""What the tests of labs' helpers share."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Gone

from lab_services.stack import servers


@pytest.fixture(autouse=True, scope="module")
def _forks_by_itself(own_fork_server: None) -> None:
    """The next module's processes would ask for this module's database."""


class RestartingRedis:
    """A Redis of one test, which that may kill and start again at the same address, empty."""

    def __init__(self) -> None:
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [servers.binary("redis-server"), "--port", str(self.port), "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        with Redis(port=self.port) as client:
            self.until(client.ping)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @staticmethod
    def until(holds: Callable[[], object]) -> None:
        """Wait until this is true; fail after ten seconds."""
        give_up = time.monotonic() + 10
        while time.monotonic() < give_up:
            with contextlib.suppress(Gone):
                if holds():
                    return
            time.sleep(0.02)
        raise AssertionError("not within ten seconds")


@pytest.fixture
def restarting_redis() -> Iterator[RestartingRedis]:
    server = RestartingRedis()
    yield server
    server.kill()
