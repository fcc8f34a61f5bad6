"""`lab open` in a real browser: the notebook, and beside it what runs."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from lab_services.waiting import wait_until
from tests.command.terminal import Terminal

PREFIX = "/user/me/"  # as behind a hub
CELLS = 2  # of code, from the top until the stack is shown


@pytest.fixture
def address(lab: Terminal) -> Iterator[str]:
    """JupyterLab opened on a lab, behind a hub's prefix."""
    words = ("open", "serving/web-single", "--no-browser", "--port", "0")
    process = lab.begin(
        *words, f"--ServerApp.base_url={PREFIX}",
        JUPYTERHUB_SERVICE_PREFIX=PREFIX, LAB_RUNTIME="process",
    )  # fmt: skip
    with process:
        try:
            yield _address(process)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _address(process: subprocess.Popen[str]) -> str:
    """What JupyterLab says of itself; the rest of its log waits in the pipe."""
    assert process.stderr is not None
    told = ""
    for line in process.stderr:
        told += line
        if found := re.search(r"http://127\.0\.0\.1:\d+/\S*token=\w+", line):
            return found[0]
    raise AssertionError(told)


@pytest.fixture
def page(chromium: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        browser.close()


def run(cell: Locator) -> None:
    """Run a cell by the keyboard, wait for its end; says what it printed if it failed."""
    prompt = cell.locator(".jp-InputPrompt")

    def taken() -> bool:
        # What has just loaded elsewhere may have the keyboard: then nobody heard the key.
        cell.click()
        cell.page.keyboard.press("Shift+Enter")
        with suppress(AssertionError):
            expect(prompt).not_to_have_text("[ ]:", timeout=2_000)
        return prompt.inner_text() != "[ ]:"

    wait_until(taken, 30, "JupyterLab has taken the key")
    expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=60_000)
    assert not cell.locator("[data-mime-type$=stderr]").count(), cell.inner_text()


@pytest.mark.timeout(180)
def test_a_lab_beside_what_runs(address: str, page: Page) -> None:
    """A workspace that JupyterLab restores without the page; links that only loopback knows."""
    errors: list[str] = []
    foreign: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: foreign.append(asked.url))
    page.goto(address)
    notebook = page.locator(".jp-Notebook:visible")
    notebook.wait_for(timeout=60_000)
    beside = page.frame_locator("iframe")
    expect(beside.locator("main")).to_contain_text("No stack runs", timeout=60_000)
    left, right = notebook.bounding_box(), page.locator("iframe").bounding_box()
    assert left and right and left["x"] + left["width"] <= right["x"] and right["width"] > 300

    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)
    for place in range(CELLS):
        run(notebook.locator(".jp-CodeCell").nth(place))
    expect(beside.locator("main")).to_contain_text("proxy 1/1", timeout=60_000)
    assert beside.locator("svg").get_attribute("role") == "img"
    link = beside.get_by_role("link", name="proxy:9901")
    shown = notebook.get_by_role("link", name="proxy:9901")
    expect(shown).to_have_attribute("href", str(link.get_attribute("href")), timeout=60_000)
    with page.context.expect_page() as opened:
        link.click()
    expect(opened.value).to_have_title("Envoy Admin", timeout=30_000)
    assert PREFIX in opened.value.url

    assert not errors
    home = address.partition(PREFIX)[0]
    assert not [url for url in foreign if not url.startswith((home, "data:", "blob:"))]
