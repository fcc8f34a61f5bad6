"""The image that repo2docker would make of this checkout, and sessions of it."""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from lab_services import paths
from lab_services.git import git
from lab_services.stack.image import Options

ROOT = paths.repository()
TAG = "lab-services-binder"
LABEL = "lab-services.binder"  # as in the Dockerfile
MEMORY = 1024**3  # what Binder guarantees
PREFIX = "/user/somebody/"


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    made = docker.from_env(timeout=900)
    yield made
    made.close()


@pytest.fixture(scope="session")
def image(client: docker.DockerClient) -> str:
    """Built from what git would take; the engine keeps each step until its files change."""
    options = Options.read()
    answer = client.api.build(
        fileobj=_context(options.authority),
        custom_context=True,
        dockerfile="tests/binder/Dockerfile",
        tag=TAG,
        buildargs={"BASE": options.base, **options.proxies},
        network_mode=options.network,
        rm=True,
        forcerm=True,
        decode=True,
    )
    told = ""
    for message in answer:
        told += message.get("stream", "")
        if "error" in message:
            pytest.fail(f"{told[-3000:]}\n{message['error']}")
    client.images.prune(filters={"dangling": True, "label": LABEL})
    return TAG


def _context(authority: bytes) -> io.BytesIO:
    names = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in sorted(filter(None, names.split("\0"))):
            # The service image's own list of what to leave out would hold here too.
            if name != ".dockerignore" and (ROOT / name).is_file():
                archive.add(ROOT / name, name)
        if authority:
            member = tarfile.TarInfo("extra-ca.crt")
            member.size = len(authority)
            archive.addfile(member, io.BytesIO(authority))
    buffer.seek(0)
    return buffer


# As a hub starts it: no root, no rights, no network, 1 GB for everything.
LIMITS: dict[str, Any] = {
    "mem_limit": MEMORY,
    "memswap_limit": MEMORY,
    "network_mode": "none",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "environment": {"JUPYTERHUB_SERVICE_PREFIX": PREFIX},
    "labels": {LABEL: "1"},
}


@contextmanager
def session(client: docker.DockerClient, image: str) -> Iterator[Container]:
    """JupyterLab, which listens inside."""
    command = ["jupyter", "lab", "--no-browser", "--port=8888", "--IdentityProvider.token=secret"]
    command.append(f"--ServerApp.base_url={PREFIX}")
    container = client.containers.run(image, command, detach=True, **LIMITS)
    try:
        yield container
    finally:
        container.remove(force=True)


def driven(container: Container, lab: str) -> dict[str, Any]:
    """The lab, run in its short mode through JupyterLab; see drive.py."""
    script = Path(__file__).with_name("drive.py").relative_to(ROOT)
    ended = container.exec_run(
        ["python", str(script), "8888", PREFIX, f"labs/{lab}.ipynb"], demux=True
    )
    out, err = ended.output
    assert ended.exit_code == 0, (err or b"").decode() + container.logs().decode()[-3000:]
    return dict(json.loads(out))
