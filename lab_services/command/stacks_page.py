"""The stacks that run, as a page beside the notebook: picture, states, links, kept true.

    python -m lab_services.command.stacks_page SOCKET

JupyterLab calls it "Running stacks". jupyter-server-proxy starts this program when the page is
first asked for, on a Unix socket that nobody else can open, and passes on what has come through
JupyterLab's own door. It goes when JupyterLab does.
"""

import contextlib
import html
import os
import sys
from http.server import BaseHTTPRequestHandler
from socketserver import UnixStreamServer
from typing import Any

from lab_services import python
from lab_services.command.selection import Running, running
from lab_services.stack import display

NAME = "stacks"  # as in pyproject.toml, and in the page's address
TITLE = "Running stacks"
_START_TIMEOUT = 30  # seconds, on one busy core
_NOTHING = (
    "<p>No stack runs.</p><p>A cell of the notebook starts one: <code>stack = Stack(…).up()</code>."
    " It is shown here then, with what is done to it.</p>"
)


def registered() -> dict[str, Any]:
    """What jupyter-server-proxy is told of the page (an entry point in pyproject.toml)."""
    return {
        "command": python.command("lab_services.command.stacks_page", "{unix_socket}"),
        "environment": {"PYTHONPATH": python.location()},
        "unix_socket": True,
        "timeout": _START_TIMEOUT,
        "new_browser_tab": False,
        # Else an open page would keep a forgotten session from being ended by its hub.
        "update_last_activity": False,
        "launcher_entry": {"title": TITLE, "category": "Other"},
    }


def content() -> str:
    """Every running stack of this user as HTML."""
    return "".join(map(_section, running())) or _NOTHING


def _section(stack: Running) -> str:
    attached = stack.attach()
    shown = display.html_of(attached, attached.states())
    facts = [f"started by {stack.starter}", f"ready: {stack.ready}"]
    if stack.lasting_faults:
        facts.append(f"faults: {stack.lasting_faults}")
    told = "".join(f"<li>{html.escape(fact)}</li>" for fact in facts)
    return f"<section><h2>{html.escape(stack.lab)}</h2>{shown}<ul>{told}</ul></section>"


# Links open in a tab of their own: inside the frame a service would take the page's place.
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><base target="_blank">
<style>
:root {{ color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif }}
body {{ margin: 1em; overflow-wrap: anywhere; background: Canvas; color: CanvasText }}
h1, h2 {{ font-size: 1.1em; margin: 0 0 .5em }}
h1 {{ position: absolute; clip-path: inset(50%) }}
section + section {{ margin-top: 1.5em; border-top: 1px solid; padding-top: 1em }}
ul {{ padding-left: 1.2em; font-size: .85em }}
</style>
<main><h1>{title}</h1><div id="stacks">{content}</div></main>
<script>
const place = document.getElementById("stacks");
let shown = place.innerHTML;
async function look() {{
  const light = parent.document.body.dataset.jpThemeLight;
  if (light) document.documentElement.style.colorScheme = light === "true" ? "light" : "dark";
  if (!document.hidden) {{
    const text = await fetch("now").then(a => a.ok ? a.text() : shown).catch(() => shown);
    if (text !== shown) place.innerHTML = shown = text;
  }}
  setTimeout(look, 2000);
}}
look();
</script>
</html>
"""


class _Page(BaseHTTPRequestHandler):
    """The page at `/`, what is in it at `/now`."""

    def do_GET(self) -> None:
        text = content()
        if self.path != "/now":
            text = _PAGE.format(title=TITLE, content=text)
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # the page has been closed meanwhile
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """JupyterLab's log is no place for a line every two seconds."""


class _Server(UnixStreamServer):
    def __init__(self, socket: str) -> None:
        super().__init__(socket, _Page)
        self._owner = os.getppid()

    def service_actions(self) -> None:
        if os.getppid() != self._owner:
            sys.exit()


if __name__ == "__main__":
    with _Server(sys.argv[1]) as server:
        server.serve_forever()
