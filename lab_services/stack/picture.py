"""The topology of a stack as one SVG: services in layers, callers above those they call.

Colours come from the page (`currentColor`), states are told by sign and word, not by colour alone.
"""

import html
from collections.abc import Sequence

from lab_services.stack import topology
from lab_services.stack.compose import ComposeFile, Service
from lab_services.stack.runtime import Replica

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 150, 62, 20, 46, 8
_CALLERS = "your traffic"
# Contrast of at least 3:1 on white and on the dark theme's background.
_SIGNS = {
    "ready": ("●", "#1a9850"),
    "starting": ("◐", "#c77700"),
    "paused": ("‖", "#8073ac"),
    "exited": ("✕", "#d73027"),
    "absent": ("○", "#808080"),
}


def draw(compose: ComposeFile, replicas: Sequence[Replica] | None, title: str) -> str:
    """The picture, with a text alternative that says the same.

    Without `replicas` it is that of the file, which has no states.
    """
    services = [s for s in compose.services.values() if not s.is_job]
    names = [s.name for s in services]
    edges = [c for c in topology.calls(compose) if c.caller in names and c.callee in names]
    called = {c.callee for c in edges}
    edges = [topology.Call(_CALLERS, n) for n in names if n not in called] + edges
    rows = topology.layers([_CALLERS, *names], edges)
    columns = max(len(row) for row in rows)
    width = columns * (_WIDTH + _GAP_X) - _GAP_X + 2 * _MARGIN
    height = len(rows) * (_HEIGHT + _GAP_Y) - _GAP_Y + 2 * _MARGIN
    places = {}
    for level, row in enumerate(rows):
        left = (width - len(row) * (_WIDTH + _GAP_X) + _GAP_X) / 2
        for column, name in enumerate(row):
            places[name] = (
                left + column * (_WIDTH + _GAP_X),
                _MARGIN + level * (_HEIGHT + _GAP_Y),
            )
    parts = [_arrow(places[e.caller], places[e.callee]) for e in edges]
    for name in names:
        service = compose.services[name]
        states = None
        if replicas is not None:
            own = [r.state for r in replicas if r.service == name]
            states = own or ["absent"] * service.replicas
        parts.append(_box(places[name], service, states))
    left, top = places[_CALLERS]
    parts.append(
        f'<text x="{left + _WIDTH / 2}" y="{top + _HEIGHT / 2 + 5}" text-anchor="middle" '
        f'fill="currentColor" font-style="italic">{_CALLERS}</text>'
    )
    description = describe(compose, replicas)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{html.escape(title + ": " + description)}" '
        f'style="max-width:{width}px;width:100%;height:auto;font:14px system-ui,sans-serif">'
        f"<title>{html.escape(title)}</title><desc>{html.escape(description)}</desc>"
        f"{''.join(parts)}</svg>"
    )


def describe(compose: ComposeFile, replicas: Sequence[Replica] | None) -> str:
    """The picture in words."""
    sentences = []
    for service in compose.services.values():
        if service.is_job:
            continue
        if replicas is None:
            told = _count(service.replicas)
        else:
            states = [r.state for r in replicas if r.service == service.name]
            counted = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
            told = counted or "not started"
        callees = [c.callee for c in topology.calls(compose) if c.caller == service.name]
        calls = f", calls {', '.join(callees)}" if callees else ""
        sentences.append(f"{service.name} ({told}){calls}")
    return "; ".join(sentences)


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1 = start[0] + _WIDTH / 2, start[1] + _HEIGHT
    x2, y2 = end[0] + _WIDTH / 2, end[1] - 2
    if start[0] == end[0] and y1 > y2:  # a call back up would hide behind the boxes
        x1 = x2 = start[0] + _WIDTH
    middle = (y1 + y2) / 2
    return (
        f'<path d="M{x1} {y1} C{x1} {middle} {x2} {middle} {x2} {y2 - 6}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.6" stroke-width="1.5"/>'
        f'<path d="M{x2 - 5} {y2 - 8} L{x2} {y2} L{x2 + 5} {y2 - 8} Z" fill="currentColor" '
        'fill-opacity="0.6"/>'
    )


def _box(place: tuple[float, float], service: Service, states: list[str] | None) -> str:
    x, y = place
    center = x + _WIDTH / 2
    if states is None:
        last = _count(service.replicas)
    else:
        signs = "".join(f'<tspan fill="{_SIGNS[s][1]}">{_SIGNS[s][0]}</tspan>' for s in states)
        ready = f"{states.count('ready')} of {len(states)} ready"
        last = f"{signs} {states[0] if len(set(states)) == 1 else ready}"
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="currentColor" '
        'fill-opacity="0.05" stroke="currentColor" stroke-opacity="0.6"/>'
        f'<text x="{center}" y="{y + 20}" text-anchor="middle" fill="currentColor" '
        f'font-weight="600">{html.escape(service.name)}</text>'
        f'<text x="{center}" y="{y + 36}" text-anchor="middle" fill="currentColor" '
        f'fill-opacity="0.75" font-size="12">{html.escape(_kind(service.command))}</text>'
        f'<text x="{center}" y="{y + 54}" text-anchor="middle" fill="currentColor" '
        f'font-size="12">{last}</text>'
    )


def _count(replicas: int) -> str:
    return "1 replica" if replicas == 1 else f"{replicas} replicas"


def _kind(command: tuple[str, ...]) -> str:
    if command[0] == "python":
        return "Python service"
    return {
        "envoy": "Envoy",
        "redis-server": "Redis",
        "postgres": "PostgreSQL",
        "prometheus": "Prometheus",
    }.get(command[0], command[0])
