import json
import os
import shutil
import subprocess
import sys

import pytest

from lab_services.errors import LabError
from lab_services.models import build, flights, store

BUILD = "from lab_services.models import build; build.ensure(*{names}, report=print)"


def _builder(folder, *names, **environment):
    """A build in a process of its own, under a umask that hides files from others."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILD.format(names=names)],
        env={**os.environ, "LAB_MODELS": str(folder), **environment},
        stdout=subprocess.PIPE,
        text=True,
        umask=0o077,
    )


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder of models."""
    monkeypatch.setenv("LAB_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture(scope="module")
def cleaned():
    """The flights, read once: what is built from them is built anew."""
    return flights.clean()


def test_the_same_inputs_make_the_same_bytes(tmp_path):
    """A hash on a card means nothing if a second build has another one.

    Neither the number of threads nor the order in which a process keeps its sets may matter.
    """
    others = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "1"}
    with _builder(tmp_path, **others) as builder:
        printed, _ = builder.communicate()
    assert builder.returncode == 0, printed
    for name in ("rough.onnx", "rough.json", "good.onnx", "good.json", "unseen.npy", "unseen.json"):
        assert (tmp_path / name).read_bytes() == (store.paths.models_dir() / name).read_bytes()
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o644, "containers run as another user"
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_two_builders_at_once_train_once(tmp_path):
    """Two notebooks started together wrote over each other's half-finished files."""
    with _builder(tmp_path, "rough") as one, _builder(tmp_path, "rough") as other:
        printed = [builder.communicate()[0] for builder in (one, other)]
    assert one.returncode == other.returncode == 0
    assert sum("training rough" in text for text in printed) == 1
    assert sum("waiting for another process" in text for text in printed) == 1


def test_an_export_that_differs_is_not_kept(elsewhere, monkeypatch, cleaned):
    """A converter that gets a model wrong must not reach a service."""
    monkeypatch.setattr(flights, "clean", lambda: cleaned)
    monkeypatch.setattr(build, "TOLERANCE", 0.0)
    with pytest.raises(build.ExportDiffers, match="rough differs from the trained one"):
        build.ensure("rough")
    assert not list(elsewhere.glob("*.onnx"))


@pytest.mark.parametrize("harm", ["bytes", "card", "recipe", "gone"])
def test_what_is_not_current_is_built_again(models, elsewhere, monkeypatch, cleaned, harm):
    """A damaged model, or one of an older recipe, that goes on to be served."""
    monkeypatch.setattr(flights, "clean", lambda: cleaned)
    elsewhere.mkdir()
    for pattern in ("rough.*", "unseen.*"):
        for file in models["rough"].parent.glob(pattern):
            shutil.copy(file, elsewhere)
    told: list[str] = []
    path = build.ensure("rough", report=told.append)["rough"]
    assert not told
    card, whole = path.with_suffix(".json"), path.read_bytes()
    match harm:
        case "bytes":
            path.write_bytes(whole[:-1] + b"?")
        case "card":
            card.write_text("{")
        case "recipe":
            card.write_text(json.dumps({**store.card("rough"), "recipe": "of another version"}))
        case "gone":
            path.unlink()
    build.ensure("rough", report=told.append)
    assert any("training rough" in line for line in told)
    assert store.verify(path)["recipe"] and path.read_bytes() == whole


def test_what_is_current_is_left_alone():
    told = []
    build.ensure(report=told.append)
    assert told == []


def test_an_unknown_model_is_refused_with_those_there_are():
    with pytest.raises(LabError, match="rough, good, big"):
        build.ensure("huge")


@pytest.mark.parametrize("name", build.DEFAULT)
def test_a_card_says_what_the_model_is(name):
    card = store.card(name)
    assert card["data"]["training"]["months"] == list(range(1, 10))
    assert card["data"]["unseen"]["months"] == [10, 11, 12]
    assert card["sha256"] == store.sha256(store.model_path(name))
    assert all("description" in about for about in card["features"].values())
    assert card["features"]["wind"]["unit"] == "mph"
    assert 0.5 < card["metrics"]["auc"] < 1
    assert {"scikit-learn", "skl2onnx"} <= card["versions"].keys()


def test_the_good_model_is_better_than_the_rough_one():
    good, rough = (store.card(name)["metrics"] for name in ("good", "rough"))
    assert good["auc"] > rough["auc"]
    assert good["log_loss"] < rough["log_loss"]
    assert good["brier"] < rough["brier"]
