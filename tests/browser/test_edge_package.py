"""A device's package in a real browser: what it says there, and what is brought along for it."""

import contextlib
import gzip
import hashlib
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from lab_services import payloads
from lab_services.labs.serving.edge_prediction import compact, lab
from lab_services.models import build, store
from lab_services.patterns.serving import edge_prediction
from lab_services.patterns.serving.edge_prediction import packages
from lab_services.stack import loopback
from tests.browser.visiting import Visit, listen

FOLDER = Path(edge_prediction.__file__).with_name("browser")


def test_what_is_brought_along_is_what_its_makers_published():
    """A runtime that somebody has changed, or that is another version than it is said to be."""
    row = re.compile(r"^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|$", re.MULTILINE)
    said = dict(row.findall((FOLDER / "README.md").read_text()))
    assert set(said) == {"ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm.gz"}
    for name, sha256 in said.items():
        content = (FOLDER / name).read_bytes()
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        assert hashlib.sha256(content).hexdigest() == sha256, name


@pytest.fixture(scope="module")
def known():
    """Flights with what the network said of them before it was made smaller."""
    build.ensure("good")
    compact.ensure()
    return lab.known_answers(payloads.flights(20, seed=7))


@pytest.fixture(scope="module")
def address(known):
    """A store of packages with the 8-bit network in it."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    app = f"{edge_prediction.__name__}.store:app"
    server = subprocess.Popen(
        [sys.executable, "-m", "lab_services.services.server", app],
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 20
    while True:
        with contextlib.suppress(httpx.TransportError):
            if loopback.get(f"{url}/ready").status_code == 200:
                break
        assert time.monotonic() < until and server.poll() is None, "no store"
        time.sleep(0.05)
    content = store.model_path("edge-int8").read_bytes()
    manifest = packages.packed(3, content, store.card("edge-int8")["codes"], known, "key")
    loopback.put(f"{url}/packages/3", content=content).raise_for_status()
    loopback.put(f"{url}/latest", json=manifest).raise_for_status()
    yield url
    server.terminate()
    server.wait(20)


@pytest.fixture
def page(browser, address):
    """The store's page, and all that it asks for and complains of."""
    opened = browser.new_page()
    opened.requests, opened.errors = [], []
    opened.on("request", lambda request: opened.requests.append(request.url))
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.on(
        "console", lambda said: opened.errors.append(said.text) if said.type == "error" else 0
    )
    opened.goto(f"{address}/browser/")
    yield opened
    opened.close()


def test_the_browser_says_what_the_device_says(page, known):
    """Another preparation, another order of columns, or eight bits that mean something else."""
    flights = [each["flight"] for each in known]
    on_device = lab.chances("edge-int8", flights)
    said = page.evaluate(
        """async () => {
            const { load, check } = await import("./main.js");
            return await check(await load("package.json"));
        }"""
    )
    assert abs(on_device - said["answers"]).max() < packages.TOLERANCE / 10
    assert said["off"] < packages.TOLERANCE and said["version"] == 3
    assert said["size"] == store.model_path("edge-int8").stat().st_size
    assert 0 < said["mean"] < 100
    assert not page.errors


def test_nothing_large_is_loaded_before_the_button_is_pressed(page, address):
    """A page that weighs four megabytes for those who only read; a request to another host."""
    assert not any(url.endswith((".gz", ".json")) for url in page.requests)
    page.click("button")
    page.wait_for_selector("form output:has-text('late with')")
    assert "as it should" in page.inner_text("main")
    assert "NOT" not in page.inner_text("main")
    assert all(url.startswith((address, "data:")) for url in page.requests)
    before, count = page.inner_text("output"), len(page.requests)
    page.fill("label:has-text('Rain') input", "0.9")
    page.fill("label:has-text('Departs') input", "1200")
    page.wait_for_function(
        "text => document.querySelector('output').textContent !== text", arg=before
    )
    assert len(page.requests) == count  # nobody is asked any more
    assert not page.errors


@pytest.mark.parametrize("change", ["sha256", "bytes"])
def test_a_model_that_is_not_the_signed_one_does_not_run(page, change):
    """A browser that runs whatever it was sent."""
    page.route(
        "**/package.json",
        lambda route: route.fulfill(json=wrong(route.fetch().json(), change)),
    )
    page.click("button")
    page.wait_for_selector("text=It does not run here")
    assert page.is_enabled("button")


def wrong(handed, change):
    value = handed["manifest"][change]
    handed["manifest"][change] = value + 1 if isinstance(value, int) else "0" * len(value)
    return handed


def test_the_book_runs_it_too(browser, server):
    """A script that is not where the page looks for it, or a package that the run did not keep."""
    opened, seen = browser.new_page(viewport={"width": 375, "height": 800}), Visit("edge")
    listen(opened, seen, server.address)
    opened.goto(f"{server.address}book/serving/edge-prediction.html")
    opened.click(".lab-in-browser button")
    assert "make serve" not in opened.inner_text(".lab-in-browser")
    opened.wait_for_selector(".lab-in-browser form output:has-text('late with')")
    told = opened.inner_text(".lab-in-browser [role=status]")
    assert "as it should" in told and "NOT" not in told
    wide = opened.evaluate("document.documentElement.scrollWidth")
    opened.close()
    assert wide <= 375
    assert not seen.errors and not seen.foreign
