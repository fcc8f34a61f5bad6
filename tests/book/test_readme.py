"""The picture of the README."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab_services import paths
from lab_services.book import readme
from lab_services.runs.run import Run

PICTURE = paths.repository() / "book" / "images" / "readme.svg"
MACHINE = {"processor": "A processor", "cores": 2}
CHART = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 200" style="display:block;x:1"/>'


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "burst.svg").write_text(CHART)
    data = {"lab": "a/b", "runtime": "docker", "when": "2026-11-22T10:00:00+00:00"}
    figures = {"burst": {"title": "Burst", "alt": "A burst"}}
    return Run(tmp_path, data | {"machine": MACHINE, "figures": figures})


def test_it_stands_alone_and_says_where_it_comes_from(run: Run) -> None:
    """A chart without a page's colours is black on black; one without a date is nobody's."""
    drawn = readme.standalone(run, "burst")
    root = ElementTree.fromstring(drawn)
    inner = next(child for child in root if child.tag.endswith("svg"))
    assert (inner.get("width"), inner.get("height"), inner.get("style")) == ("300", "200", None)
    assert "prefers-color-scheme: dark" in drawn
    assert "Measured on 22 November 2026 on A processor (2 cores), in containers" in drawn


def test_no_such_figure_or_run(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A figure's name with a slip in it, a folder that is no run: told, and nothing overwritten."""
    before = PICTURE.read_bytes()
    assert readme.main([str(tmp_path / "nowhere"), "burst"]) != 0
    assert "nowhere" in capsys.readouterr().err
    assert PICTURE.read_bytes() == before
    with pytest.raises(Exception, match="no figure 'bust'"):
        readme.standalone(run, "bust")


def test_the_picture_that_is_there_is_whole() -> None:
    """A picture that no longer parses, or takes something from another host."""
    text = PICTURE.read_text()
    ElementTree.fromstring(text)
    assert "Measured on " in text
    assert 'href="http' not in text
