"""`lab image`: the name by which machines hand the image on."""

import docker
import pytest
from click.testing import CliRunner

from lab_services.command.image import image
from lab_services.stack import image as service
from lab_services.stack.engine import connect


def test_the_name_needs_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that fails on a machine without Docker."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    told = CliRunner().invoke(image, ["--name"])
    assert (told.exit_code, told.output) == (0, f"{service.name()}\n")
    assert told.output.startswith("lab-services:")
    assert CliRunner().invoke(image, []).exit_code != 0


@pytest.mark.docker
def test_what_it_prints_is_there() -> None:
    """A name for `docker save` with the lines of the build around it, or of no image."""
    told = CliRunner().invoke(image, [])
    assert told.exit_code == 0, told.output
    client: docker.DockerClient = connect().client
    try:
        assert client.images.get(told.stdout.removesuffix("\n"))
    finally:
        client.close()
