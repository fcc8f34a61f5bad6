"""The site, built once from kept runs, and a browser to look at it.

Where either is missing the tests that need it are skipped, and where CI is set they fail.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from lab_services import paths
from lab_services.book import sources
from lab_services.book.chapters import slugs
from lab_services.limits import usable_cores
from tests.browser.serving import Server
from tests.browser.visiting import Visit, visit
from tests.conftest import missing

ROOT = paths.repository()
# Those that tests/notebooks has made, in the shortest form, else those of `make book`.
RUNS = (ROOT / "runs" / "tests", ROOT / "runs")


@pytest.fixture(scope="session")
def chapters() -> list[str]:
    """The slug of every chapter."""
    return slugs(ROOT)


@pytest.fixture(scope="session")
def site(chapters: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    whole = [runs for runs in RUNS if all(sources.kept_runs(ROOT, runs, s) for s in chapters)]
    if not whole:
        missing(
            "No kept run of every lab as it is now: `make book` or `pytest tests/notebooks` first."
        )
    # Beside the _build of this checkout, which somebody may be reading.
    root = tmp_path_factory.mktemp("book")
    for entry in ROOT.iterdir():
        if entry.name not in ("_build", "runs"):
            (root / entry.name).symlink_to(entry)
    command = [sys.executable, "-m", "lab_services.book", "--root", root, "--runs", whole[0]]
    built = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert built.returncode == 0, built.stdout
    return root / "_build" / "html"


@pytest.fixture(scope="session")
def pages(site: Path) -> list[str]:
    """Every page, by its path below the site; not the one that only leads to another."""
    leads_on = 'http-equiv="refresh"'
    found = (file for file in site.rglob("*.html") if leads_on not in file.read_text().lower())
    below = (file.relative_to(site) for file in found)
    return sorted(page.as_posix() for page in below if page.parts[0] != "_static")


@pytest.fixture(scope="session")
def server(site: Path) -> Iterator[Server]:
    """The site on a port."""
    server = Server(site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@contextmanager
def started(chromium: str) -> Iterator[Browser]:
    """Chromium without a window."""
    # As root Chromium has no sandbox, as in most containers; it sees pages of this checkout only.
    arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A browser for the tests that ask for one page."""
    with started(chromium) as browser:
        yield browser


@pytest.fixture(scope="session")
def visits(chromium: str, server: Server, pages: list[str]) -> list[Visit]:
    """A visit of every page, by as many browsers as there are cores."""

    def visited(some: list[str]) -> list[Visit]:
        with started(chromium) as browser:
            return [visit(browser, server.address, page) for page in some]

    several = min(usable_cores(), 4)
    with ThreadPoolExecutor(several) as threads:
        parts = threads.map(visited, (pages[first::several] for first in range(several)))
        return [each for part in parts for each in part]
