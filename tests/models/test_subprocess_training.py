import threading
import time

import pytest

from lab_services.errors import LabError
from lab_services.models import store, subprocess_training


def test_a_training_that_failed_is_not_taken_for_one():
    """The reason is lost with the process."""
    with pytest.raises(LabError, match=r"No module named lab_services\.nothing"):
        subprocess_training.train("lab_services.nothing")
    subprocess_training.train("lab_services.models.store")


def test_only_what_is_not_current_is_trained(monkeypatch, tmp_path):
    """A lab that trains each time; a model of yesterday's recipe that is taken for today's."""
    trained = []

    def train(module):
        trained.append(module)
        for name in ("one", "two"):
            store.save(store.model_path(name), b"content", {"name": name, "recipe": "new"})

    monkeypatch.setenv("LAB_MODELS", str(tmp_path))
    monkeypatch.setattr(subprocess_training, "train", train)
    paths = subprocess_training.ensure("a.module", ["one", "two"], "new")
    assert paths == {name: store.model_path(name) for name in ("one", "two")}
    subprocess_training.ensure("a.module", ["one", "two"], "new")
    assert trained == ["a.module"]
    store.save(paths["two"], b"content", {"name": "two", "recipe": "old"})
    subprocess_training.ensure("a.module", ["one", "two"], "new")
    paths["one"].unlink()
    subprocess_training.ensure("a.module", ["one", "two"], "new")
    assert len(trained) == 3


def test_one_trains_and_the_others_wait(monkeypatch, tmp_path):
    """Two notebooks that train the same forests at once, and have no memory for both."""
    training, trained = threading.Event(), []

    def train(module):
        trained.append(module)
        training.set()
        time.sleep(0.2)
        store.save(store.model_path("one"), b"content", {"name": "one", "recipe": "new"})

    monkeypatch.setenv("LAB_MODELS", str(tmp_path))
    monkeypatch.setattr(subprocess_training, "train", train)
    first = threading.Thread(target=subprocess_training.ensure, args=["first", ["one"], "new"])
    first.start()
    assert training.wait(5)
    subprocess_training.ensure("second", ["one"], "new")
    first.join()
    assert trained == ["first"]
