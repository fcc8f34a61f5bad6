import shutil

import pytest

from lab_services.models import store


@pytest.fixture
def copy(tmp_path):
    for suffix in (".onnx", ".json"):
        shutil.copy(store.model_path("rough").with_suffix(suffix), tmp_path)
    return tmp_path / "rough.onnx"


def test_a_whole_model_passes(copy):
    assert store.verify(copy)["name"] == "rough"


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
