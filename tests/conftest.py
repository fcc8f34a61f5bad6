"""Which tests need Docker or a browser, and when these may be missing; servers of their own."""

import contextlib
import functools
import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import forkserver
from typing import NoReturn

import psutil
import psycopg
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as QueueGone

from lab_services.command import checks
from lab_services.processor_time import SHARED
from lab_services.stack import servers
from lab_services.stack.docker import available
from tests.warm import Warm


# A shell that runs the tests in the background has them ignore interrupts, and their children too.
# Told to end, a test ends as after Ctrl-C: what it has started is taken down.
def _let_interrupt() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


_let_interrupt()

# Tests run beside one another, and what each takes of the machine says nothing of a lab.
os.environ.setdefault(SHARED, "1")

# All that is imported and collected lives to the end: looking through it for garbage, again and
# again, takes a quarter of the time until the first test.
gc.disable()


# Tests that remove what dead supervisors have left on the engine: also those of a test beside them.
SWEEPING = {"test_supervisor.py", "test_stacks.py"}


@functools.cache
def _docker() -> tuple[bool, str]:
    return available()


def _docker_is_required() -> bool:
    return os.environ.get("LAB_REQUIRE_DOCKER", "1" if os.environ.get("CI") else "0") == "1"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Several processes share the tests. Those of a lab, or else of a file, stay together, as do
    all that are marked for the engine: the image would be built once in each process."""
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        group = str(parameters.get("lab", item.path.name))
        if item.get_closest_marker("docker") or item.path.name in SWEEPING:
            group = "docker"
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish() -> None:
    """From here on garbage is looked for among what the tests make."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Told to end, a process that has others test for it tells them: by themselves they go on for
    5 s."""
    told_to_end = exitstatus == pytest.ExitCode.INTERRUPTED
    if told_to_end and session.config.pluginmanager.has_plugin("dsession"):
        for worker in psutil.Process().children():
            worker.send_signal(signal.SIGINT)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """A test marked `docker` is skipped where no engine answers; in CI that is a failure."""
    _let_interrupt()  # whatever the test before has left
    if item.get_closest_marker("docker"):
        there, reason = _docker()
        if not there and _docker_is_required():
            pytest.fail(f"Docker: {reason}\nIt is required here: CI or LAB_REQUIRE_DOCKER.")
        if not there:
            pytest.skip(f"Docker: {reason}\nWith LAB_REQUIRE_DOCKER=1 this is a failure.")
    with servers_may_be_missing():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """A test that starts a server is skipped where there is none; in CI that is a failure."""
    with servers_may_be_missing():
        yield


@contextlib.contextmanager
def servers_may_be_missing() -> Iterator[None]:
    """Take a server that `make env` does not bring everywhere for missing, not for a fault."""
    try:
        yield
    except servers.BinaryMissing as error:
        if error.program not in checks.SERVERS:
            raise
        missing(str(checks.binary(error.program)))


def missing(what: str) -> NoReturn:
    """Skip for what this machine does not have; where CI is set that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(f"{what}\nWith CI set this is a failure.")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program; without one the test is skipped, which in CI is a failure."""
    found = checks.chromium()
    if found.state is not checks.State.OK:
        missing(str(found))
    return found.text


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def runtime(request: pytest.FixtureRequest) -> str:
    """Each runtime's name in turn: what is promised of a stack holds on both."""
    return str(request.param)


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Programs of this package in processes that need not import it anew."""
    with contextlib.closing(Warm()) as started:
        yield started


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis of these tests' own."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [servers.binary("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
        cwd=tmp_path_factory.mktemp("redis"),
        stdout=subprocess.DEVNULL,
    )
    client = Redis(port=port)
    for _ in range(500):
        with contextlib.suppress(QueueGone):
            client.ping()
            break
        time.sleep(0.01)
    yield f"redis://127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL of these tests' own, empty."""
    servers.binary("postgres")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "lab_services.services.postgres"],
        cwd=tmp_path_factory.mktemp("postgres"),
        env={**os.environ, "PORT": str(port), "POSTGRES_PASSWORD": "lab"},
    )
    url = f"postgresql://postgres:lab@127.0.0.1:{port}/postgres"
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(url).close()
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
    yield url
    process.send_signal(signal.SIGINT)  # its clients are not waited for
    process.wait(10)


@pytest.fixture(scope="module")
def own_fork_server() -> Iterator[None]:
    """Python has one fork server, and it keeps the environment in which it was started: it ends
    with the module that has started it."""
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # there is no public way
