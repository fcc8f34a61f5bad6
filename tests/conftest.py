"""Which tests need Docker, and when it may be missing."""

import functools
import os
import signal

import pytest

from lab_services.stack.docker import available

# A shell that runs the tests in the background has them ignore interrupts, and their children too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@functools.cache
def _docker() -> tuple[bool, str]:
    return available()


def _docker_is_required() -> bool:
    return os.environ.get("LAB_REQUIRE_DOCKER", "1" if os.environ.get("CI") else "0") == "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `docker` is skipped where no engine answers; in CI that is a failure."""
    if item.get_closest_marker("docker"):
        there, reason = _docker()
        if not there and _docker_is_required():
            pytest.fail(f"Docker is required here (CI or LAB_REQUIRE_DOCKER): {reason}")
        if not there:
            pytest.skip(f"{reason}; LAB_REQUIRE_DOCKER=1 makes this a failure")


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def runtime(request: pytest.FixtureRequest) -> str:
    """Each runtime's name in turn: what is promised of a stack holds on both."""
    return str(request.param)
