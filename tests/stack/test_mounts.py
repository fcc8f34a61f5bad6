"""What containers mount, and whether they may read it."""

import os
import sys
from pathlib import Path

import pytest

from lab_services.errors import LabError
from lab_services.stack import compose, containers
from tests.stack.conftest import Write

MOUNTS = (
    "  proxy:\n    image: ${LAB_IMAGE:-lab-services}\n    command: [sleep, '600']\n"
    "    volumes: ['./etc/envoy.yaml:/etc/envoy.yaml:ro', './a b:/models:ro', 'kept:/data']\n"
    "volumes: {kept: {}}\n"
)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere engines share files differently")
@pytest.mark.parametrize(
    ("closed", "mode", "typed"),
    [
        ("etc/envoy.yaml", 0o600, "chmod -R o+rX {}/etc/envoy.yaml"),
        ("a b/inside", 0o700, "chmod -R o+rX '{}/a b'"),
        ("a b/inside/model", 0o640, "chmod -R o+rX '{}/a b'"),
    ],
)
def test_a_mount_that_a_container_cannot_read_is_refused(
    write: Write, tmp_path: Path, closed: str, mode: int, typed: str
) -> None:
    """A proxy that dies at its start in a checkout that was cloned under `umask 077`."""
    service = compose.read(Path(write(MOUNTS)), {}).service("proxy")
    for file in ("etc/envoy.yaml", "a b/inside/model", "a b/.lock"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for place in [p for p in tmp_path.rglob("*") if not p.is_symlink()]:
        place.chmod(0o755 if place.is_dir() else 0o644)
    (tmp_path / "a b/.lock").chmod(0o600)  # which no service reads
    (tmp_path / "a b/latest").symlink_to("gone")
    (tmp_path / "a b/itself").symlink_to(".")
    containers.check_mounts(service)
    (tmp_path / closed).chmod(mode)
    with pytest.raises(LabError, match=closed) as caught:
        containers.check_mounts(service)
    assert caught.value.hint == f"Type: {typed.format(tmp_path)}"
    assert os.system(caught.value.hint.removeprefix("Type: ")) == 0
    containers.check_mounts(service)
