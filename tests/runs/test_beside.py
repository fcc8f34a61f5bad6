"""A kept run is there until the next one is whole."""

from pathlib import Path

import pytest

from lab_services.runs.beside import beside, take_the_place


def kept(root: Path) -> Path:
    """A folder with something in it that took long to make."""
    folder = root / "process/gates/small"
    folder.mkdir(parents=True)
    (folder / "old").write_text("long measured")
    return folder


def there(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_the_new_takes_the_place_of_the_old(tmp_path: Path) -> None:
    """Files of two runs in one folder, or a folder that only its owner may read."""
    folder = kept(tmp_path)
    with beside(folder) as new:
        (new / "new").write_text("measured again")
        assert (folder / "old").exists()
    assert there(tmp_path) == ["process/gates/small/new"]
    assert folder.stat().st_mode == folder.parent.stat().st_mode


@pytest.mark.parametrize("cause", [KeyboardInterrupt, SystemExit, OSError])
def test_the_old_stays_when_the_new_is_not_finished(
    tmp_path: Path, cause: type[BaseException]
) -> None:
    """A run that is gone because the next one was stopped, or half a run in its place."""
    folder = kept(tmp_path)
    with pytest.raises(cause), beside(folder) as new:
        (new / "half").write_text("begun")
        raise cause
    assert there(tmp_path) == ["process/gates/small/old"]
    assert list(folder.parent.iterdir()) == [folder]


def test_the_old_comes_back_when_the_new_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of the two, because the interrupt came between two renames."""
    folder, rename = kept(tmp_path), Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), beside(folder):
        pass
    assert there(tmp_path) == ["process/gates/small/old"]


def test_no_empty_folders_are_left(tmp_path: Path) -> None:
    """The traces of a run that never was; but what was there before is nobody's to remove."""
    (tmp_path / "runs").mkdir()
    with pytest.raises(KeyboardInterrupt), beside(tmp_path / "runs/process/gates/small"):
        raise KeyboardInterrupt
    assert list(tmp_path.rglob("*")) == [tmp_path / "runs"]


def test_the_new_may_take_another_place(tmp_path: Path) -> None:
    """A run that broke off, in the whole one's place; an error for what is no longer there."""
    folder = kept(tmp_path)
    with beside(folder) as new:
        (new / "half").write_text("begun")
        take_the_place(new, folder.with_name("other"))
    assert there(tmp_path) == ["process/gates/other/half", "process/gates/small/old"]
