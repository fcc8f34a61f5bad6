import os
import shutil
import threading
import time

import pytest

from lab_services.models import store


@pytest.fixture
def copy(tmp_path):
    for suffix in (".onnx", ".json"):
        shutil.copy(store.model_path("rough").with_suffix(suffix), tmp_path)
    return tmp_path / "rough.onnx"


def test_a_whole_model_passes(copy):
    assert store.verify(copy)["name"] == "rough"


def test_what_is_kept_is_whole_and_current(tmp_path):
    """A hash of other bytes; a model of yesterday's recipe that is taken for today's."""
    path = tmp_path / "made.onnx"
    assert not store.is_current(path, "mine")
    store.save(path, b"content", {"name": "made", "recipe": "mine", "bytes": 0, "sha256": "old"})
    card = store.verify(path)
    assert (card["name"], card["bytes"]) == ("made", 7)
    assert store.is_current(path, "mine") and not store.is_current(path, "another")
    assert path.stat().st_mode & 0o777 == 0o644
    path.write_bytes(b"another")
    assert not store.is_current(path, "mine")


def test_a_write_cut_short_leaves_no_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(store.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        store.save(tmp_path / "model.onnx", b"content", {})
    assert list(tmp_path.iterdir()) == []


def test_one_changed_byte_is_found(copy):
    copy.write_bytes(copy.read_bytes()[:-1] + b"?")
    with pytest.raises(store.ModelDamaged, match="lab models"):
        store.verify(copy)


@pytest.mark.parametrize("suffix", [".onnx", ".json"])
def test_a_missing_file_is_named(copy, suffix):
    copy.with_suffix(suffix).unlink()
    with pytest.raises(store.ModelMissing, match=r"rough\.onnx"):
        store.verify(copy)


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "rough"}'])
def test_a_damaged_card_is_not_a_traceback(copy, text):
    copy.with_suffix(".json").write_text(text)
    with pytest.raises(store.ModelDamaged, match="card"):
        store.verify(copy)


def test_a_recipe_is_all_that_a_model_comes_from(tmp_path):
    """Other data, another parent or another library, and the old model is taken for the new one."""
    data = tmp_path / "data"
    data.write_bytes(b"data")
    made = store.recipe_of([data], ["numpy"], parent="good")
    assert made == store.recipe_of([data], ["numpy"], parent="good")
    others = {
        store.recipe_of([data], ["numpy"], parent="rough"),
        store.recipe_of([data], ["scipy"], parent="good"),
        store.recipe_of([data], ["numpy"]),
    }
    data.write_bytes(b"other data")
    others.add(store.recipe_of([data], ["numpy"], parent="good"))
    assert len(others) == 4 and made not in others


def test_who_reads_while_a_model_is_replaced_gets_one_that_is_whole(copy, monkeypatch):
    """A service that ends with "damaged" because it started between two steps of a training."""
    replace, readers, read = os.replace, [], []

    def slow(source, target):
        replace(source, target)
        if not readers:
            readers.append(threading.Thread(target=lambda: read.append(store.verify(copy))))
            readers[0].start()
            time.sleep(store.SETTLE_SECONDS / 2)

    monkeypatch.setattr(store.os, "replace", slow)
    store.save(copy, b"another", {"name": "another", "recipe": "new"})
    readers[0].join()
    assert [card["name"] for card in read] == ["another"]
