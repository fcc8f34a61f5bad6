"""How soon the largest pages of the site can be used, on a processor four times slower.

python tests/bench/bench_pages.py

Needs the built site (`make book`) and Chromium. A page can be used when its scripts have run and
no long task (50 ms and more) of its start goes on. Medians of rounds, each with an empty cache.
Exits with 1 when the slowest is above its bar.
"""

import os
import statistics
import sys
import threading
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2]))  # some package brings a `tests` of its own

from lab_services.command import checks
from tests.browser.serving import Server

SITE = Path(__file__).parents[2] / "_build" / "html"
PAGES, ROUNDS, SLOWER, BAR = 3, 5, 4, 1.0  # the bar in seconds
_WATCH = """window.tasks = [0];
  new PerformanceObserver((list) => list.getEntries().forEach(
    (e) => tasks.push(e.startTime + e.duration))).observe({type: "longtask", buffered: true});"""
_READY = """() => Math.max(
  performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd, ...tasks) / 1000"""


def main() -> int:
    """Print the seconds of each page; 1 when one takes too long."""
    found = checks.chromium()
    largest = sorted(SITE.glob("*/*/*.html"), key=lambda file: -file.stat().st_size)[:PAGES]
    if found.state is not checks.State.OK or not largest:
        print("Needs Chromium and the built site: make book.")
        return 1
    server = Server(SITE)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    slowest = 0.0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.text, args=arguments)
        for file in largest:
            name = file.relative_to(SITE).as_posix()
            taken = [seconds(browser, server.address + name) for _ in range(ROUNDS)]
            middle = statistics.median(taken)
            slowest = max(slowest, middle)
            print(f"{middle:5.2f} s ({min(taken):.2f} to {max(taken):.2f})  {name}")
        browser.close()
    print(f"slowest {slowest:.2f} s, bar {BAR} s")
    return int(slowest > BAR)


def seconds(browser: Browser, address: str) -> float:
    """Until the page can be used."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        page.add_init_script(_WATCH)
        page.goto(address, wait_until="load")
        page.wait_for_timeout(500)
        return float(page.evaluate(_READY))


if __name__ == "__main__":
    sys.exit(main())
