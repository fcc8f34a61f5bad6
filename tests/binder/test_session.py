"""A lab in the session that a reader gets from Binder: 1 GB, no root, no Docker, no network."""

import json
import sys

import docker
import pytest

from lab_services.report import claims
from tests.binder.conftest import LIMITS, PREFIX, driven, session

pytestmark = [pytest.mark.docker, pytest.mark.binder, pytest.mark.timeout(900)]
LAB = "serving/web-single"


def test_a_lab_in_one_gigabyte(client: docker.DockerClient, image: str) -> None:
    """A package that Binder does not get; a lab that is killed for memory, or wants rights."""
    with session(client, image) as container:
        told = driven(container, LAB)
        events = container.exec_run(
            "sh -c 'cat /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control'"
        ).output.decode()
        container.reload()
        assert not container.attrs["State"]["OOMKilled"]
    assert not told["error"], told["error"]
    (found,) = [data[claims.MIME]["claims"] for data in told["outputs"] if claims.MIME in data]
    verdicts = {claim["text"]: claim["verdict"] for claim in found}
    # Whether they hold is for `make prove` to say, of a machine that does nothing else.
    assert len(verdicts) > 3
    assert "oom_kill 0" in events, events
    sys.stdout.write(f"{LAB} in a session: {told['memory']} bytes, {verdicts}\n")


def test_a_session_starts_ready(client: docker.DockerClient, image: str) -> None:
    """Models trained while the reader waits, threads for others' cores, a lab without its page."""
    script = (
        "lab models --check && id -un && env && cat .cache/workspaces/serving-web-single-* && echo"
    )
    output = client.containers.run(
        image, ["sh", "-c", script], nano_cpus=1_000_000_000, remove=True, **LIMITS
    )
    told = output.decode().splitlines()
    assert "jovyan" in told and "OMP_NUM_THREADS=1" in told and "LAB_RUNTIME=process" in told
    widgets = json.loads(told[-1])["data"]
    assert widgets["server-proxy:server-proxy:stacks"]["data"]["url"] == f"{PREFIX}stacks/"
    assert "notebook:labs/serving/web-single.ipynb" in widgets
