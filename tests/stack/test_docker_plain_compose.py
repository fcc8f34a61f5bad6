"""Every topology runs by Compose itself, without this project's code."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_services.paths import models_dir, repository
from lab_services.stack import image
from lab_services.stack.engine import compose_command, connect

FILES = sorted((repository() / "lab_services" / "patterns").glob("*/*/compose.yaml"))


@pytest.fixture
def project() -> Iterator[str]:
    """A name for Compose; whatever has it is removed at the end."""
    name = f"lab-plain-{secrets.token_hex(3)}"
    yield name
    subprocess.run(
        [*compose_command(), "--project-name", name, "down", "--volumes", "--timeout", "0"],
        check=True,
        capture_output=True,
    )


@pytest.mark.docker
@pytest.mark.parametrize(
    "file", FILES, ids=[f"{f.parent.parent.name}/{f.parent.name}" for f in FILES]
)
def test_plain_compose_brings_it_up(file: Path, project: str) -> None:
    """A Compose file that only our reader understands, or whose health checks never pass."""
    client = connect().client
    tag = image.ensure(client, print)
    client.close()
    command = [*compose_command(), "--project-name", project, "--file", str(file)]
    outcome = subprocess.run(
        [*command, "up", "--detach", "--no-build", "--wait", "--wait-timeout", "120"],
        env={**os.environ, "LAB_IMAGE": tag, "LAB_MODELS": str(models_dir())},
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stderr


def test_there_are_topologies() -> None:
    """The test above passing because its pattern matches no file."""
    assert repository() / "lab_services/patterns/serving/web_single/compose.yaml" in FILES
