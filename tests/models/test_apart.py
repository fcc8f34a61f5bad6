import pytest

from lab_services.errors import LabError
from lab_services.models import apart, store


def test_a_training_that_failed_is_not_taken_for_one():
    """The reason is lost with the process."""
    with pytest.raises(LabError, match=r"No module named lab_services\.nothing"):
        apart.train("lab_services.nothing")
    apart.train("lab_services.models.store")


def test_only_what_is_not_current_is_trained(monkeypatch, tmp_path):
    """A lab that trains each time; a model of yesterday's recipe that is taken for today's."""
    trained = []

    def train(module):
        trained.append(module)
        for name in ("one", "two"):
            store.keep(store.model_path(name), b"content", {"name": name, "recipe": "new"})

    monkeypatch.setenv("LAB_MODELS", str(tmp_path))
    monkeypatch.setattr(apart, "train", train)
    paths = apart.ensure("a.module", ["one", "two"], "new")
    assert paths == {name: store.model_path(name) for name in ("one", "two")}
    apart.ensure("a.module", ["one", "two"], "new")
    assert trained == ["a.module"]
    store.keep(paths["two"], b"content", {"name": "two", "recipe": "old"})
    apart.ensure("a.module", ["one", "two"], "new")
    paths["one"].unlink()
    apart.ensure("a.module", ["one", "two"], "new")
    assert len(trained) == 3
