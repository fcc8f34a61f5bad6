"""The topology as a picture: the same in words, whole for any Compose file."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from lab_services.stack import compose, picture, topology
from lab_services.stack.catalogue import compose_path
from lab_services.stack.runtime import Replica

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def web_single(tmp_path: Path) -> compose.ComposeFile:
    return compose.read(compose_path("serving/web-single"), {"LAB_MODELS": str(tmp_path)})


def replica(service: str, number: int, state: str) -> Replica:
    return Replica(service, number, state, {})


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{SVG}text")]


def test_states_are_told_in_words(web_single: compose.ComposeFile) -> None:
    """A picture whose states only colour tells is nothing to who does not see it."""
    replicas = [
        replica("predictor", 1, "ready"),
        replica("predictor", 2, "exited"),
        replica("proxy", 1, "paused"),
    ]
    svg = picture.draw(web_single, replicas, "A <stack>")
    words = ET.fromstring(svg).find(f"{SVG}desc")
    assert words is not None and words.text == (
        "predictor (1 ready, 1 exited); proxy (1 paused), calls predictor"
    )
    assert any("1 of 2 ready" in text for text in texts(svg))
    assert any("paused" in text for text in texts(svg))
    assert ET.fromstring(svg).find(f"{SVG}title").text == "A <stack>"  # type: ignore[union-attr]


def test_the_picture_of_a_file_has_no_states(web_single: compose.ComposeFile) -> None:
    """On a page nothing runs, so nothing may look as if it were down."""
    svg = picture.draw(web_single, None, "t")
    assert "absent" not in svg and "not started" not in svg
    assert texts(svg).count("1 replica") == 2


def test_a_stack_that_is_down_says_so(web_single: compose.ComposeFile) -> None:
    """Down is not the same as unknown."""
    assert "predictor (not started)" in picture.draw(web_single, [], "t")


def test_callers_stand_above_those_they_call(web_single: compose.ComposeFile) -> None:
    """Upside down, the picture would tell another story."""
    names = list(web_single.services)
    assert topology.layers(names, topology.calls(web_single)) == [["proxy"], ["predictor"]]


def test_a_circle_of_calls_is_drawn_all_the_same() -> None:
    """Two services may call each other; the picture must not run for ever."""
    edges = [topology.Call("a", "b"), topology.Call("b", "a")]
    rows = topology.layers(["a", "b"], edges)
    assert sorted(name for row in rows for name in row) == ["a", "b"]


def test_nothing_lies_outside_the_frame(web_single: compose.ComposeFile) -> None:
    """A box cut off at the edge cannot be read."""
    root = ET.fromstring(picture.draw(web_single, None, "t"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for box in root.iter(f"{SVG}rect"):
        assert 0 <= float(box.attrib["x"]) <= width - float(box.attrib["width"])
        assert 0 <= float(box.attrib["y"]) <= height - float(box.attrib["height"])
