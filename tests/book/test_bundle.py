"""The one style sheet of a page."""

from pathlib import Path

import pytest

from lab_services.book.bundle import bundle

_PAGE = """<html><head>
  <link href="{up}_static/styles/theme.css?digest=1" rel="stylesheet" />
  <link rel="stylesheet" type="text/css" href="{up}_static/own.css?v=2" />
  <link rel="icon" href="{up}_static/favicon.svg"/>
</head><body><a href="x.css">a sheet</a></body></html>"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two pages, one of them in a folder, and sheets that import and have addresses."""
    styles = tmp_path / "_static" / "styles"
    styles.mkdir(parents=True)
    (styles / "theme.css").write_text('@import "../basic.css";\n.theme{src:url(../fonts/a.woff2)}')
    (tmp_path / "_static" / "basic.css").write_text(".basic{background:url(file.png)}")
    (tmp_path / "_static" / "own.css").write_text('.own{fill:url("data:image/png;base64,AA")}')
    (tmp_path / "index.html").write_text(_PAGE.format(up=""))
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "page.html").write_text(_PAGE.format(up="../"))
    return tmp_path


def test_holds_all_sheets_in_their_order(site: Path) -> None:
    """A sheet that is lost, or that another one may not overrule any more."""
    bundle(site)
    (made,) = (site / "_static").glob("bundle-*.css")
    text = made.read_text()
    assert text.index(".basic") < text.index(".theme") < text.index(".own")
    assert "@import" not in text


def test_addresses_lead_to_the_same_files(site: Path) -> None:
    """Icons without their font, because the sheet has moved."""
    bundle(site)
    text = next((site / "_static").glob("bundle-*.css")).read_text()
    assert 'url("fonts/a.woff2")' in text
    assert 'url("file.png")' in text
    assert 'url("data:image/png;base64,AA")' in text


def test_every_page_links_it_once(site: Path) -> None:
    """A page in a folder without its style; a link of the text taken for one of the head."""
    bundle(site)
    (made,) = (site / "_static").glob("bundle-*.css")
    for page, up in (("index.html", ""), ("book/page.html", "../")):
        text = (site / page).read_text()
        assert text.count('rel="stylesheet"') == 1
        assert f'href="{up}_static/{made.name}"' in text
        assert f'href="{up}_static/favicon.svg"' in text
        assert '<a href="x.css">' in text


def test_twice_is_as_once(site: Path) -> None:
    """A second build that finds pages of the first."""
    bundle(site)
    before = {file: file.read_bytes() for file in site.rglob("*") if file.is_file()}
    bundle(site)
    assert before == {file: file.read_bytes() for file in site.rglob("*") if file.is_file()}


def test_another_content_has_another_name(site: Path) -> None:
    """A browser that goes on with the sheet it has kept."""
    first = site / "_static" / "own.css"
    original = (site / "index.html").read_text()
    bundle(site)
    first.write_text(".own{fill:red}")
    (site / "index.html").write_text(original)
    bundle(site)
    assert len(list((site / "_static").glob("bundle-*.css"))) == 2


def test_a_missing_sheet_is_named(site: Path) -> None:
    """A page without style that nobody notices."""
    (site / "_static" / "own.css").unlink()
    with pytest.raises(FileNotFoundError, match=r"own\.css"):
        bundle(site)
