"""Links within the site: those of the text, of contents and buttons, and inside of pictures."""

from pathlib import Path

from tests.browser.links import broken


def test_every_link_leads_somewhere(site: Path) -> None:
    """A page that was renamed, a heading that was rewritten, a picture that was left behind."""
    assert not (found := broken(site)), "\n".join(found)


def test_broken_links_are_found(tmp_path: Path) -> None:
    """A gate that never shuts; one that takes what is well for broken."""
    (tmp_path / "part").mkdir()
    (tmp_path / "picture.svg").write_text("<svg/>")
    (tmp_path / "part/other.html").write_text('<h1 id="grüße">there</h1>')
    well = """<a href="part/other.html#gr%C3%BC%C3%9Fe">1</a> <a href="#top" id="top">2</a>
        <img src="picture.svg?v=1"> <a href="https://example.org/gone">3</a>
        <svg><a href="part/other.html"></a></svg> <a href="mailto:nobody@example.org">4</a>"""
    (tmp_path / "index.html").write_text(well)
    assert broken(tmp_path) == []
    faults = {
        "gone.html": "no such file",
        "part/other.html#gone": "no such place",
        "#gone": "no such place",
        "gone.svg": "no such file",
        "/part/other.html": "no such file",  # the site may lie below another address
        "../index.html": "no such file",
    }
    anchors = [f'<a href="{fault}"></a>' for fault in faults if fault != "gone.svg"]
    inside = '<svg><a xlink:href="part/gone.html"></a></svg><img src="gone.svg">'
    (tmp_path / "index.html").write_text("\n".join([*anchors, inside]))
    found = broken(tmp_path)
    faults["part/gone.html"] = "no such file"
    assert len(found) == len(faults), found
    for reference, why in faults.items():
        assert any(f": {reference}: {why}" in line for line in found), (reference, found)
