"""How a stack shows itself: progress while it comes up, a live picture, a table at a terminal."""

import html
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, Self

from lab_services.stack import picture
from lab_services.stack.messages import Progress, ServiceReady
from lab_services.terminal.status_line import LiveLine
from lab_services.terminal.text_table import columns

if TYPE_CHECKING:
    from lab_services.stack.compose import ComposeFile
    from lab_services.stack.messages import Event, Replica

_INTERVAL = 1.0  # seconds between two looks of a live picture


class Shown(Protocol):
    """As much of a stack as can be shown."""

    lab: str
    runtime: str
    compose: "ComposeFile"
    latest_picture: Any

    def states(self) -> "list[Replica]": ...


class StartLine(LiveLine):
    """The line that tells how a stack comes up, with the seconds it takes."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self._begin = time.monotonic()
        self._ready: list[str] = []

    def __enter__(self) -> Self:
        super().__enter__()
        self._line("")
        return self

    def show(self, event: "Event") -> None:
        """What happens now."""
        match event:
            case ServiceReady():
                self._ready.append(event.service)
                self._line(f"ready: {', '.join(self._ready)}")
            case Progress():
                self._line(event.text)

    def _line(self, text: str) -> None:
        seconds = time.monotonic() - self._begin
        self.update(f"{self._title} | {seconds:.1f} s | {text}")


def table(stack: Shown) -> str:
    """The stack as text: one row per replica."""
    rows = [("service", "replica", "state", "address")]
    for replica in stack.states():
        addresses = " ".join(
            f"{port}→127.0.0.1:{published}" for port, published in replica.ports.items()
        )
        state = replica.state
        if replica.exit_code is not None:
            state += f" ({replica.exit_code})"
        rows.append((replica.service, str(replica.number), state, addresses))
    head = f"{stack.lab} on {stack.runtime}"
    if len(rows) == 1:
        return f"{head}: not running"
    return f"{head}\n{columns(rows)}"


def html_of(stack: Shown, replicas: "list[Replica]") -> str:
    """The picture and, below it, where each service answers."""
    places = []
    for replica in replicas:
        probe = stack.compose.service(replica.service).probe
        if replica.number > 1 or replica.state not in ("ready", "starting"):
            continue
        for port, published in replica.ports.items():
            name = f"{replica.service}:{port}"
            if probe is not None and probe.kind == "http":
                places.append(f'<a href="{html.escape(link(published))}">{name}</a>')
            else:
                places.append(f"{name} at 127.0.0.1:{published}")
    title = f"{stack.lab} on {stack.runtime}"
    return (
        f"{picture.draw(stack.compose, replicas, title)}"
        f'<div style="font-size:0.85em">{html.escape(title)}: {" · ".join(places) or "down"}</div>'
    )


def show_live(stack: Shown) -> None:
    """Show the picture, and in a notebook at work keep it true until the stack is down."""
    from IPython.display import display

    def bundle() -> "tuple[list[Replica], dict[str, str]]":
        replicas = stack.states()
        return replicas, {"text/html": html_of(stack, replicas), "text/plain": table(stack)}

    known, content = bundle()
    handle = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
    if os.environ.get("LAB_HEADLESS") or handle is None:
        return  # a kept run shows the stack as it was when the cell ran

    stack.latest_picture = handle

    def follow() -> None:
        shown = known
        while shown and stack.latest_picture is handle:
            time.sleep(_INTERVAL)
            current, content = bundle()
            if current != shown:
                handle.update(content, raw=True)
            shown = current

    threading.Thread(target=follow, daemon=True).start()


def link(port: int) -> str:
    """Where the reader's browser finds what answers HTTP at a port of this machine."""
    # Behind a hub the reader's browser does not share this machine's loopback; JupyterLab's proxy
    # does. LAB_JUPYTER says so without a hub: the path under which JupyterLab is reached.
    prefix = os.environ.get("LAB_JUPYTER") or os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return f"{prefix}proxy/{port}/" if prefix else f"http://127.0.0.1:{port}/"
