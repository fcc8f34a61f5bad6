"""One visit of a page, and all that is wrong with it."""

import contextlib
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response
from playwright.sync_api import TimeoutError as Late

DESKTOP, PHONE = 1440, 375
_PATIENCE = 10_000  # ms
_GRAVE = {"serious", "critical"}
# Preloading asks for style sheets at addresses where there are none.
_AXE = {"resultTypes": ["violations"], "preload": False}
# All that a change of the theme can break; the rest has been looked at in light.
_COLOURS = {**_AXE, "runOnly": ["color-contrast"]}
# The page has heard of its theme, its colours are no longer on their way, and the keyboard gets
# into what scrolls, which the theme sees to 300 ms after the last change of the page.
_SETTLED = """(theme) => document.documentElement.dataset.theme === theme
  && document.getAnimations().every((a) => a.playState !== "running")
  && [...document.querySelectorAll("pre, .cell_output > .output, .jp-RenderedHTMLCommon,"
    + " .pst-scrollable-table-container")].every((e) => e.tabIndex === 0
      || e.scrollWidth <= e.clientWidth || getComputedStyle(e).overflowX === "visible")"""
# The culprits are those that stick out and are not inside of something that scrolls by itself.
_OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const inside = (e) => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (getComputedStyle(p).overflowX !== "visible") return true;
    return false;
  };
  const out = [...document.body.querySelectorAll("*")].filter(
    (e) => e.getBoundingClientRect().right > width + 0.5 && !inside(e));
  const told = (e) => `${e.tagName.toLowerCase()} ${e.className} ${e.textContent.trim()}`;
  return [...out.map((e) => told(e).slice(0, 90)), "the page"].slice(0, 3);
}"""
# A lab has thousands of coloured words, and charts that are one picture to a screen reader. One of
# each kind is enough for axe, which would take six seconds for all of them.
_THIN = """() => {
  const seen = new Set();
  for (const e of document.querySelectorAll("pre *, svg[role=img] > g")) {
    const kind = `${e.tagName} ${e.className} ${e.closest(".highlight")?.parentElement.className}`;
    if (seen.has(kind)) e.remove();
    seen.add(kind);
  }
}"""


@dataclass
class Visit:
    """What a page did and looked like."""

    page: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    overflows: list[str] = field(default_factory=list)
    barriers: list[str] = field(default_factory=list)
    scripts: int = 0
    wire: int = 0  # bytes as compressed, without pictures


def visit(browser: Browser, address: str, name: str) -> Visit:
    """Load a page of the site once, and look at it in both widths, in light and in dark."""
    seen = Visit(name)
    context = browser.new_context(
        viewport={"width": DESKTOP, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    page = context.new_page()
    listen(page, seen, address)
    page.goto(address + name, wait_until="load")
    for width in (DESKTOP, PHONE):
        page.set_viewport_size({"width": width, "height": 900})
        seen.overflows += [f"at {width}: {what}" for what in page.evaluate(_OVERFLOW)]
    seen.barriers += _barriers(page, "light", _AXE)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": DESKTOP, "height": 900})
    seen.barriers += _barriers(page, "dark", _COLOURS)
    context.close()
    return seen


def listen(page: Page, seen: Visit, address: str) -> None:
    """Take down what the page asks for and complains of; nothing leaves this machine."""

    def asked(request: Request) -> None:
        if not request.url.startswith((address, "data:")):
            seen.foreign.append(request.url)
        seen.scripts += request.resource_type == "script"

    def answered(response: Response) -> None:
        if response.request.resource_type != "image":
            seen.wire += int(response.headers.get("content-length", 0))

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            seen.errors.append(f"{message.text} ({message.location['url']})")

    page.on("request", asked)
    page.on("response", answered)
    page.on("console", said)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.route(lambda url: not url.startswith(address), lambda route: route.abort())


def _barriers(page: Page, theme: str, options: dict[str, Any]) -> list[str]:
    with contextlib.suppress(Late):  # what has not settled is named below
        page.wait_for_function(_SETTLED, arg=theme, timeout=_PATIENCE)
    page.evaluate(_THIN)
    shown = page.evaluate("document.documentElement.dataset.theme ?? ''")
    found = [] if shown == theme else [f"{theme}: the page is shown in {shown or 'no theme'}"]
    for fault in Axe().run(page, options=options).response["violations"]:
        if fault["impact"] in _GRAVE:
            places = ", ".join(node["html"][:90] for node in fault["nodes"][:2])
            found.append(f"{theme}: {fault['id']}, {len(fault['nodes'])} times: {places}")
    return found
