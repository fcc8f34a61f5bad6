"""What a reader does: search, copy, print, open the site as a folder, go without scripts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page, expect

from tests.browser.serving import Server
from tests.browser.visiting import PHONE, Visit, listen

pytestmark = pytest.mark.timeout(120)


@contextmanager
def opened(browser: Browser, address: str, name: str, **options: object) -> Iterator[Page]:
    """A page of the site; it must not complain while it is used."""
    with browser.new_context(**options) as context:
        page, seen = context.new_page(), Visit(name)
        listen(page, seen, address)
        page.goto(address + name)
        yield page
        assert not seen.errors and not seen.foreign, seen


@pytest.fixture(scope="module", params=["a server", "a folder"])
def address(request: pytest.FixtureRequest, site: Path) -> str:
    """Where the site lies: everything works from a folder, too."""
    if request.param == "a folder":
        return f"{site.as_uri()}/"
    return str(request.getfixturevalue("server").address)


def test_search_finds_a_chapter(browser: Browser, address: str, chapters: list[str]) -> None:
    """An index of words that is empty, or a search that needs a server."""
    slug = chapters[0]
    words = slug.partition("/")[2].replace("-", " ")
    with opened(browser, address, f"search.html?q={quote(words)}") as page:
        found = page.locator(f'#search-results a[href*="book/{slug}.html"]').first
        expect(found).to_be_visible()
        expect(page.locator("#search-results")).to_contain_text("Search finished")
        found.click()
        expect(page.locator("article h1").first).to_be_visible()
        assert f"book/{slug}.html" in page.url


def test_pages_open_from_a_folder(browser: Browser, site: Path, chapters: list[str]) -> None:
    """A page that only works from a server."""
    for name in ("index.html", f"book/{chapters[0]}.html", f"labs/{chapters[0]}.html"):
        with opened(browser, f"{site.as_uri()}/", name) as page:
            expect(page.locator("article h1").first).to_be_visible()


def test_code_is_copied(browser: Browser, server: Server, chapters: list[str]) -> None:
    """A button beside each cell that copies nothing, or the line numbers with it."""
    rights = ["clipboard-read", "clipboard-write"]
    name = f"labs/{chapters[0]}.html"
    with opened(browser, server.address, name, permissions=rights) as page:
        cell = page.locator(".cell_input .highlight").first
        cell.hover()
        cell.locator(".copybtn").click()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.strip() == cell.locator("pre").inner_text().strip() != ""


def test_charts_need_no_script(browser: Browser, server: Server, chapters: list[str]) -> None:
    """A page whose figures are drawn by a library, and which is blank without it."""
    for slug in chapters:
        name = f"book/{slug}.html"
        with opened(browser, server.address, name, java_script_enabled=False) as page:
            charts = page.locator(".lab-chart svg")
            assert charts.count() > 0, name
            for chart in charts.all():
                chart.scroll_into_view_if_needed()
                box = chart.bounding_box()
                assert box and box["width"] > 200 and box["height"] > 80, name
                expect(chart.locator("text").first).to_be_visible()
                assert chart.locator("title, desc").count() == 2


def test_dark_follows_the_reader(browser: Browser, server: Server) -> None:
    """A flash of white at night; a switch that forgets."""
    with opened(browser, server.address, "index.html", color_scheme="dark") as page:
        page.goto(f"{server.address}search.html")
        theme = "document.documentElement.dataset.theme"
        assert page.evaluate(theme) == "dark"
        page.locator(".theme-switch-button").first.click()  # to light, where dark is the system's
        assert page.evaluate("document.documentElement.dataset.mode") == "light"
        page.reload()
        assert page.evaluate(theme) == "light"


def test_a_page_prints(
    browser: Browser, server: Server, chapters: list[str], tmp_path: Path
) -> None:
    """White letters on white paper, the site's buttons between them, code cut at the margin."""
    name = f"labs/{chapters[0]}.html"
    paper = {"width": 672, "height": 990}  # A4 within its margins
    with opened(browser, server.address, name, color_scheme="dark", viewport=paper) as page:
        page.evaluate(
            "addEventListener('beforeprint', () =>"
            " (window.printed = document.documentElement.dataset.theme))"
        )
        page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
        assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
        assert page.evaluate("window.printed") == "light"
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.emulate_media(media="print")
        for hidden in (".bd-sidebar-primary", ".bd-header-article", ".copybtn", ".bd-footer"):
            for part in page.locator(hidden).all():
                expect(part).to_be_hidden()
        cut = page.evaluate(
            "[...document.querySelectorAll('pre')].filter(e => e.scrollWidth > e.clientWidth + 1)"
            ".map(e => e.textContent.slice(0, 80))"
        )
        assert not cut, cut


def test_launch_buttons_lead_to_the_lab(site: Path, chapters: list[str]) -> None:
    """A button that opens another notebook, or none that is there."""
    for slug in chapters:
        for page in (f"labs/{slug}.html", f"book/{slug}.html"):
            parsed = BeautifulSoup((site / page).read_text(), "html.parser")
            links = [a["href"] for a in parsed.select('a[href*="mybinder.org"]')]
            assert links, f"{page}: no launch button"
            for link in links:
                opens = unquote(parse_qs(urlsplit(link).query)["urlpath"][0])
                assert opens == f"lab/workspaces/{slug.replace('/', '-')}", f"{page}: {link}"


def test_the_menu_opens_on_a_phone(browser: Browser, server: Server, chapters: list[str]) -> None:
    """A book without its contents on a small screen."""
    phone = {"width": PHONE, "height": 800}
    with opened(browser, server.address, f"book/{chapters[0]}.html", viewport=phone) as page:
        link = page.locator(f'#pst-primary-sidebar-modal a[href$="{chapters[-1]}.html"]').first
        page.locator(".primary-toggle").click()
        expect(link).to_be_visible()
