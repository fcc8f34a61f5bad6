"""The topology as a picture: the same in words, whole for any Compose file."""

import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

from lab_services.stack import compose, layout, picture, topology
from lab_services.stack.catalogue import compose_path
from lab_services.stack.messages import Replica
from tests.stack.conftest import Write

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
        "your traffic goes to proxy; predictor (1 ready, 1 exited); "
        "proxy (1 paused), calls predictor"
    )
    assert any("1 of 2 ready" in text for text in texts(svg))
    assert any("paused" in text for text in texts(svg))
    assert ET.fromstring(svg).find(f"{SVG}title").text == "A <stack>"


def test_traffic_goes_where_the_file_says(write: Write) -> None:
    """Traffic drawn into whatever nobody else calls: a monitor, say, that calls the predictor."""
    monitor = (
        "  monitor: {image: x, command: a, environment: {URL: 'http://web:80'}, ports: [%s]}\n"
    )
    web = "  web: {image: x, command: b, ports: ['127.0.0.1::80']}\n"
    path = Path(write(monitor % "'127.0.0.1::81'" + web))
    assert "goes to monitor" in picture.describe(compose.read(path, {}), None)
    path.write_text("x-traffic: [web]\n" + path.read_text())
    assert "goes to web" in picture.describe(compose.read(path, {}), None)
    path.write_text(path.read_text().replace("[web]", "[wep]"))
    with pytest.raises(compose.ComposeError, match="line 1, x-traffic"):
        compose.read(path, {})


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


def test_a_phone_shows_it_whole() -> None:
    """Six boxes side by side came out some three millimetres wide."""
    sheet = layout.arrange([["top"], list("abcdef")])
    assert sheet.width <= 375
    assert len({(box.x, box.y) for box in sheet.boxes.values()}) == 7


LAYERS = [
    ([["t"], ["a", "b", "c", "d", "e"]], [("t", n) for n in "abcde"]),
    ([["t"], ["a"], ["b", "c"], ["d"]], [("t", "a"), ("a", "d"), ("a", "b"), ("t", "d")]),
    ([["t"], ["a", "b"], ["c", "d"], ["e", "f"]], [("a", "e"), ("b", "e"), ("t", "f")]),
    ([["t"], ["a"], ["b", "c"]], [("b", "a"), ("c", "a"), ("c", "b"), ("b", "c")]),
    ([["t"], ["a"], ["b"], ["c"], ["d"]], [("t", "d"), ("d", "a"), ("a", "c")]),
]


@pytest.mark.parametrize(("rows", "edges"), LAYERS)
def test_no_arrow_crosses_a_box(rows: list[list[str]], edges: list[tuple[str, str]]) -> None:
    """An arrow that runs behind a third box looks as if it ended there."""
    sheet = layout.arrange(rows)
    for caller, callee in edges:
        way = sheet.way(caller, callee)
        assert all(0 <= x <= sheet.width and 0 <= y <= sheet.height for x, y in way)
        for (x1, y1), (x2, y2) in pairwise(way):
            for box in sheet.boxes.values():
                apart = (
                    max(x1, x2) <= box.x
                    or min(x1, x2) >= box.x + layout.WIDTH
                    or max(y1, y2) <= box.y
                    or min(y1, y2) >= box.bottom
                )
                assert apart, f"{caller} to {callee} crosses {box}"


def test_who_nobody_calls_is_called_by_traffic(tmp_path: Path) -> None:
    """A service without a port, and one that ends by itself, are no entry for requests."""
    path = tmp_path / "compose.yaml"
    path.write_text(
        'services:\n  web: {image: x, command: c, ports: ["127.0.0.1::1"]}\n'
        "  setup: {image: x, command: c}\n"
    )
    file = compose.read(path, {})
    svg = picture.draw(file, [Replica("setup", 1, "exited", {}, exit_code=0)], "t")
    arrows = ET.fromstring(svg).find(f"{SVG}g")
    assert arrows is not None
    assert len(arrows) == 2  # one arrow: a line and a head
    assert "✓ done" in texts(svg)
    assert "setup (1 done)" in svg


def test_long_names_and_many_replicas_stay_inside(tmp_path: Path) -> None:
    """A text wider than its box runs into the next one."""
    path = tmp_path / "compose.yaml"
    name = "a-service-with-a-very-long-name"
    path.write_text(f"services:\n  {name}: {{image: x, command: c, deploy: {{replicas: 30}}}}\n")
    file = compose.read(path, {})
    states = [Replica(name, n, "paused" if n == 3 else "ready", {}) for n in range(1, 31)]
    drawn = list(ET.fromstring(picture.draw(file, states, "t")).iter(f"{SVG}text"))
    assert float(drawn[0].attrib["textLength"]) < layout.WIDTH
    assert "●▮▮ 29 of 30 ready" in ["".join(node.itertext()) for node in drawn]


def luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("background", ["#ffffff", "#1e1e1e"], ids=["light", "dark"])
@pytest.mark.parametrize("state", picture._SIGNS)
def test_signs_can_be_seen(state: str, background: str) -> None:
    """WCAG 1.4.11: what must be seen to understand a picture has a contrast of 3 to 1."""
    one, other = luminance(picture._SIGNS[state][1]), luminance(background)
    assert (max(one, other) + 0.05) / (min(one, other) + 0.05) >= 3


def test_every_state_has_its_own_sign() -> None:
    """Who sees no colours tells the states by their signs."""
    assert len({sign for sign, _ in picture._SIGNS.values()}) == len(picture._SIGNS)
