"""`lab models`: listed and verified without being built, built when missing."""

import shutil
from pathlib import Path

import pytest

from lab_services import paths
from tests.command.terminal import Terminal


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A copy of the models with one byte changed in one of them."""
    for file in paths.models_dir().glob("[!.]*"):
        shutil.copy(file, tmp_path)
    model = tmp_path / "rough.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    return tmp_path


def test_whole_models_pass(lab: Terminal) -> None:
    """A check that fails on models that are well."""
    listed = lab("models", "--check").stdout
    assert "good   whole" in listed
    assert str(paths.models_dir()) in listed


def test_a_missing_model_is_found(lab: Terminal, tmp_path: Path) -> None:
    """A lab that fails at its first request because nobody looked."""
    refused = lab("models", "--check", LAB_MODELS=str(tmp_path), fails=1).stderr
    assert "There is no model at" in refused
    assert "lab models rough good" in refused.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_a_damaged_model_is_found_and_built_again(lab: Terminal, damaged: Path) -> None:
    """A file that was cut short or changed and is served all the same."""
    refused = lab("models", "--check", LAB_MODELS=str(damaged), fails=1).stderr
    assert "rough.onnx is damaged" in refused
    assert "training rough" in lab("models", "rough", LAB_MODELS=str(damaged)).stderr
    lab("models", "--check", LAB_MODELS=str(damaged))


def test_an_unknown_model(lab: Terminal) -> None:
    """A name that is not one, met with a traceback."""
    for words in (("models", "best"), ("models", "--check", "best")):
        assert "There are rough, good, big." in lab(*words, fails=1).stderr
