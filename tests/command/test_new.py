"""`lab new` and the table of contents. tests/notebooks/test_new_chapter.py tests what it makes."""

import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from lab_services import paths
from lab_services.book import catalogue
from lab_services.command.new import make, new


def captions(root: Path) -> list[str]:
    return [part["caption"] for part in yaml.safe_load((root / "_toc.yml").read_text())["parts"]]


@pytest.mark.parametrize(("group", "caption"), paths.GROUPS.items())
def test_a_chapter_goes_to_its_group(tmp_path: Path, group: str, caption: str) -> None:
    """A chapter behind the reference pages, or among the pages that come before all chapters."""
    shutil.copy(paths.repository() / "_toc.yml", tmp_path)
    before = captions(tmp_path)
    make(tmp_path, f"{group}/new-chapter")
    parts = yaml.safe_load((tmp_path / "_toc.yml").read_text())["parts"]
    chapters = next(part["chapters"] for part in parts if part["caption"] == caption)
    assert chapters[-1] == {
        "file": f"book/{group}/new-chapter",
        "sections": [{"file": f"labs/{group}/new-chapter"}],
    }
    after = captions(tmp_path)
    assert [each for each in after if each in before] == before
    groups = [each for each in after if each in paths.GROUPS.values()]
    assert groups == [each for each in paths.GROUPS.values() if each in groups]
    assert after[0] == "Start here" and after[-1] == before[-1]


def test_a_planned_chapter_has_its_name_from_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pattern with another name on its page; one that the book will refuse, without a word."""
    monkeypatch.setattr(paths, "repository", lambda: tmp_path)
    (tmp_path / "book").mkdir()
    for name in ("_toc.yml", catalogue.FILE):
        shutil.copy(Path(__file__).parents[2] / name, tmp_path / name)
    said = CliRunner().invoke(new, ["serving/prep-pred"]).output
    assert "does not know" not in said
    page = (tmp_path / "book/serving/prep-pred.md").read_text()
    assert "# Preparation and prediction apart\n" in page
    said = CliRunner().invoke(new, ["serving/unheard-of"]).output
    assert "book/catalogue.yml does not know serving/unheard-of" in said
    assert "# Unheard of\n" in (tmp_path / "book/serving/unheard-of.md").read_text()
