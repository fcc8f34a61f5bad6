"""Stacks for the tests, and a root of their own for the supervisors."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab_services.stack import Stack
from lab_services.stack.supervisor_client import living

ECHO = str(Path(__file__).parent / "stacks/echo/compose.yaml")
RUNTIMES = ["process", pytest.param("docker", marks=pytest.mark.docker)]

Write = Callable[[str], str]


@pytest.fixture(scope="package", autouse=True)
def supervisors_root() -> Iterator[Path]:
    """Nothing of the tests' supervisors mixes with what runs on this machine already."""
    before = {name: os.environ.pop(name, None) for name in ("LAB_STATE", "LAB_RUNTIME")}
    root = tempfile.mkdtemp(prefix="lab", dir="/tmp")  # a socket's path must be short
    os.environ["LAB_STATE"] = root
    yield Path(root)
    for supervisor in living():
        supervisor.close()
    os.rmdir(root)  # which only an empty folder allows
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="module", params=RUNTIMES)
def echo(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The echo stack on each runtime; every test leaves it as it was."""
    with Stack(ECHO, runtime=request.param) as stack:
        yield stack


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a Compose file of some services and gives its path."""

    def write(services: str) -> str:
        path = tmp_path / "compose.yaml"
        path.write_text(f"services:\n{services}")
        return str(path)

    return write
