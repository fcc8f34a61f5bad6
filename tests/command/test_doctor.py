"""`lab doctor`: what is well, what is not, what to do; exit code 0 only if a lab can run."""

import shutil
import sys
from pathlib import Path

import pytest

from lab_services import paths
from lab_services.command import checks
from lab_services.command.checks import State
from lab_services.stack.needs import missing_programs
from tests.command.terminal import NO_ENGINE, Terminal
from tests.conftest import missing


def rows(output: str) -> dict[str, str]:
    """Each finding's state, by what was asked."""
    lines = [line for line in output.splitlines() if not line.startswith(" ")]
    return {line[9:].partition(":")[0]: line.split()[0] for line in lines}


def test_without_docker_a_lab_runs_on_processes(lab: Terminal) -> None:
    """A machine without Docker called unfit; a missing engine called well."""
    for error in missing_programs("serving/web-single"):
        raise error
    found = lab("doctor", **NO_ENGINE)
    assert rows(found.stdout)["Docker"] == "limited"
    assert rows(found.stdout)["Python"] == "ok"
    assert rows(found.stdout)["flights to send"] == "ok"
    assert "serving/web-single: runs on process" in found.stdout


@pytest.mark.docker
def test_with_docker(lab: Terminal) -> None:
    """An engine that answers and is not seen."""
    found = lab("doctor").stdout
    assert rows(found)["Docker"] == "ok"
    assert "image" in rows(found)
    assert "serving/web-single: runs on docker" in found


def test_without_models_no_lab_runs(lab: Terminal, tmp_path: Path) -> None:
    """Exit code 0 where the first lab would fail; nothing said of how to mend it."""
    found = lab("doctor", LAB_MODELS=str(tmp_path), fails=1)
    assert rows(found.stdout)["model good"] == "broken"
    assert "\n           lab models\n" in found.stdout
    assert "model good" in found.stderr


def test_nothing_to_run_a_service_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab said to run where neither Docker nor its servers are."""
    monkeypatch.setattr("lab_services.stack.servers.binary", _missing)
    assert checks.binary("envoy").state is State.LIMITED
    assert "Docker" in checks.binary("envoy").text
    assert checks.lab("serving/web-single", engine=False).state is State.BROKEN
    assert "envoy" in checks.lab("serving/web-single", engine=False).text
    found = checks.lab("serving/web-single", engine=True)
    assert (found.state, found.text) == (State.OK, "runs on docker")


def _missing(command: str) -> str:
    from lab_services.stack.servers import BinaryMissing

    raise BinaryMissing(command)


def test_too_little_memory_or_disk(tmp_path: Path) -> None:
    """A machine that swaps or fills up in the middle of a measurement."""
    assert checks.memory(4e9).state is State.OK
    assert checks.memory(0.5e9).state is State.LIMITED
    assert "lab down --all" in checks.memory(0.5e9).remedy
    assert checks.disk(tmp_path, 50e9).state is State.OK
    assert checks.disk(tmp_path, 0.5e9).state is State.LIMITED


def test_packages_that_are_not_the_locked_ones(tmp_path: Path) -> None:
    """An environment that was changed by hand, or made from an older lock file."""
    repository = paths.repository()
    if shutil.which("uv") is None and not (repository / ".uv/bin/uv").exists():
        missing("packages: uv, which could compare them with uv.lock, is missing")
    assert checks.environment(repository, Path(sys.prefix)).state is State.OK
    other = checks.environment(repository, tmp_path / "none")
    assert (other.state, other.remedy) == (State.LIMITED, "make env")


def test_a_checkout_without_lock_file(tmp_path: Path) -> None:
    """An installed package (Binder) told to run `make env`."""
    assert checks.environment(tmp_path, Path(sys.prefix)).remedy == ""
