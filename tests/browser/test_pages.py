"""Every page of the site in a real browser; and one page with every fault, which must be seen."""

import random
import string
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from tests.browser.serving import Server
from tests.browser.visiting import Visit, visit

pytestmark = pytest.mark.timeout(600)
BAR = 600_000  # bytes of a page and all it loads, compressed, without pictures


def told(visits: list[Visit], faults: Callable[[Visit], object]) -> str:
    return "\n".join(f"{visit.page}: {found}" for visit in visits if (found := faults(visit)))


def weight(visit: Visit) -> str:
    return f"{visit.wire} bytes of at most {BAR}" if visit.wire > BAR else ""


def test_no_page_reports_an_error(visits: list[Visit]) -> None:
    """A script that fails, a style sheet or a picture that is not there."""
    assert not (found := told(visits, lambda visit: visit.errors)), found


def test_no_page_asks_another_host(visits: list[Visit]) -> None:
    """A font or a script from elsewhere: somebody learns who reads, and offline it is gone."""
    assert not (found := told(visits, lambda visit: visit.foreign)), found


def test_nothing_is_wider_than_its_page(visits: list[Visit]) -> None:
    """A table or a formula that makes the whole page slide sideways on a phone."""
    assert not (found := told(visits, lambda visit: visit.overflows)), found


def test_nobody_is_shut_out(visits: list[Visit]) -> None:
    """Text too pale to read, a picture without words, a button without a name: light and dark."""
    assert not (found := told(visits, lambda visit: visit.barriers)), found


def test_every_page_is_light(visits: list[Visit]) -> None:
    """A library of icons that weighs more than the chapter."""
    assert not (found := told(visits, weight)), found


@pytest.fixture(scope="module")
def broken(browser: Browser, server: Server, chapters: list[str]) -> Visit:
    """A visit of a page with one fault of each kind."""
    noise = "".join(random.Random(1).choices(string.ascii_letters, k=900_000))
    server.pages["broken.html"] = f"""<!doctype html><html lang="en" data-theme="light"><head>
      <title>Broken</title><script src="_static/lab.js"></script>
      <style>html[data-theme=dark] {{ background: #111; color: #eee }}
             html[data-theme=dark] .light {{ display: none }}</style><script>
        const dark = matchMedia("(prefers-color-scheme: dark)");
        dark.onchange = () => (document.documentElement.dataset.theme = "dark");
      </script></head><body><main>
      <h1>Broken</h1><img src="https://example.org/foreign.png" alt="foreign">
      <script>console.error("said on purpose")</script><script>thrown_on_purpose()</script>
      <img src="gone.svg" alt="gone"><img src="_static/favicon.svg">
      <p class="light" style="color: #bbb; background: #fff">pale</p>
      <p style="color: #333">dim</p>
      <div style="width: 500px">too wide for a phone</div><!-- {noise} --></main></body></html>"""
    return visit(browser, server.address, "broken.html")


FAULTS = {
    "said on purpose": lambda visit: visit.errors,
    "thrown_on_purpose is not defined": lambda visit: visit.errors,
    "404": lambda visit: visit.errors,
    "https://example.org/foreign.png": lambda visit: visit.foreign,
    "at 375: div": lambda visit: visit.overflows,
    "light: image-alt": lambda visit: visit.barriers,
    "light: color-contrast, 1 times: <p class": lambda visit: visit.barriers,
    "dark: color-contrast, 1 times: <p style": lambda visit: visit.barriers,
    "at most 600000": lambda visit: [weight(visit)],
}


@pytest.mark.parametrize("said", FAULTS)
def test_each_fault_is_seen(broken: Visit, said: str) -> None:
    """A gate that never shuts."""
    assert any(said in each for each in FAULTS[said](broken)), broken


def test_only_the_faults_are_seen(broken: Visit) -> None:
    """A gate that shuts on anything: what is wide on a phone only is well on a desktop."""
    assert not any(f"at {1440}" in each for each in broken.overflows)
    assert broken.foreign == ["https://example.org/foreign.png"]
