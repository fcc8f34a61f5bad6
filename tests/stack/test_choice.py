"""Which lab, which runtime: the names that a reader types."""

from pathlib import Path

import pytest

from lab_services.errors import LabError
from lab_services.stack import Fault, Stack, catalogue
from lab_services.stack.catalogue import UnknownLab, compose_path, labs
from lab_services.stack.choice import choose_runtime
from lab_services.stack.runtime import RuntimeUnavailable
from tests.stack.conftest import ECHO


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine where no Docker engine answers."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")


@pytest.mark.usefixtures("no_engine")
def test_docker_that_is_asked_for_and_not_there() -> None:
    """Who asks for containers must not get plain processes in silence."""
    with pytest.raises(RuntimeUnavailable, match="Docker cannot be used here") as caught:
        Stack(ECHO, runtime="docker")
    assert 'runtime="process"' in caught.value.hint


@pytest.mark.usefixtures("no_engine")
def test_auto_without_docker() -> None:
    """Without an engine a stack runs as plain processes, and says why."""
    choice = choose_runtime("auto")
    assert choice.runtime == "process"
    assert "none.sock" in choice.reason


@pytest.mark.docker
def test_auto_with_docker() -> None:
    """Where an engine answers, it is taken."""
    assert choose_runtime("auto").runtime == "docker"


def test_who_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """LAB_RUNTIME above what was asked for by name: a run of one runtime kept as another's."""
    monkeypatch.setenv("LAB_RUNTIME", "process")
    assert Stack(ECHO).runtime == Stack(ECHO, runtime="auto").runtime == "process"
    monkeypatch.setenv("LAB_RUNTIME", "podman")
    assert Stack(ECHO, runtime="process").runtime == "process"
    with pytest.raises(LabError, match="no runtime 'podman'"):
        Stack(ECHO)


def test_no_such_runtime() -> None:
    """A typing error names the runtimes there are."""
    with pytest.raises(LabError, match="no runtime 'dokcer'") as caught:
        Stack(ECHO, runtime="dokcer")
    assert "docker, process or auto" in caught.value.hint


def test_labs_are_found() -> None:
    """A folder with a Compose file is a lab, with no list to be kept."""
    assert "serving/web-single" in labs()
    assert all(compose_path(lab).is_file() for lab in labs())


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("serving/web-singel", "serving/web-single"),
        ("web-single", "serving/web-single"),
        ("web_single", "serving/web-single"),
        ("serving/web_single", "serving/web-single"),
    ],
)
def test_unknown_lab(typed: str, near: str) -> None:
    """The nearest names are offered, the slug alone counts too."""
    with pytest.raises(UnknownLab, match=f"no lab '{typed}'") as caught:
        Stack(typed)
    assert near in caught.value.hint


def test_unknown_lab_like_no_other() -> None:
    """With nothing near, all there are."""
    with pytest.raises(UnknownLab) as caught:
        Stack("qqqq")
    assert all(lab in caught.value.hint for lab in catalogue.labs())


def test_a_file_that_is_not_there() -> None:
    """A path of one's own that is wrong is named in full."""
    with pytest.raises(LabError, match=r"There is no Compose file at .*/none\.yaml"):
        Stack("none.yaml", runtime="process")


def test_faults_in_words() -> None:
    """What charts write beside a shaded part."""
    assert str(Fault("kill", "predictor", 2, 1.0)) == "kill predictor 2"
    assert str(Fault("delay", "web", None, 1.0, detail="1 s, 50%")) == "delay web (1 s, 50%)"
