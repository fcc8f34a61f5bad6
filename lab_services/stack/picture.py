"""The topology of a stack as one SVG: services in layers, callers above those they call.

Colours come from the page (`currentColor`), states are told by sign and word, not by colour alone.
"""

import html
from collections.abc import Sequence

from lab_services.stack import layout, topology
from lab_services.stack.compose import ComposeFile, Service
from lab_services.stack.layout import HEIGHT, WIDTH, Box, Point
from lab_services.stack.messages import Replica
from lab_services.stack.servers import server

_CALLERS = "your traffic"
_SIGNS_MAX = 6  # more replicas than these share a sign for each state
_LETTERS_MAX = 17  # of a name in a box; a longer one is set narrower
# Contrast of at least 3:1 on white and on the dark theme's background.
_SIGNS = {
    "ready": ("●", "#1a9850"),
    "starting": ("◐", "#c77700"),
    "paused": ("▮▮", "#8073ac"),
    "exited": ("✕", "#d73027"),
    "done": ("✓", "#808080"),
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
    uncalled = [s.name for s in services if s.name not in called] or names[:1]
    entries = _entries(compose)
    roots = [topology.Call(_CALLERS, name) for name in dict.fromkeys((*uncalled, *entries))]
    edges += [root for root in roots if root.callee in entries]
    sheet = layout.arrange(topology.layers([_CALLERS, *names], [*roots, *edges]))
    arrows = "".join(_arrow(sheet.way(e.caller, e.callee)) for e in edges)
    parts = [f'<g opacity="0.6">{arrows}</g>']
    for service in services:
        states = None
        if replicas is not None:
            own = [_state(r) for r in replicas if r.service == service.name]
            states = own or ["absent"] * service.replicas
        parts.append(_box(sheet.boxes[service.name], service, states))
    top = sheet.boxes[_CALLERS]
    parts.append(
        f'<text x="{top.center}" y="{top.bottom - 8}" text-anchor="middle" '
        f'fill="currentColor" font-style="italic">{_CALLERS}</text>'
    )
    description = describe(compose, replicas)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {sheet.width} {sheet.height}" '
        f'aria-label="{html.escape(title + ": " + description)}" '
        f'style="max-width:{sheet.width}px;width:100%;height:auto;font:14px system-ui,sans-serif">'
        f"<title>{html.escape(title)}</title><desc>{html.escape(description)}</desc>"
        f"{''.join(parts)}</svg>"
    )


def _entries(compose: ComposeFile) -> list[str]:
    """Who gets the traffic; where the file does not say it, those whom no other service calls."""
    called = {c.callee for c in topology.calls(compose)}
    return list(compose.traffic) or [
        s.name
        for s in compose.services.values()
        if s.ports and not s.is_job and s.name not in called
    ]


def describe(compose: ComposeFile, replicas: Sequence[Replica] | None) -> str:
    """The picture in words."""
    entries = ", ".join(_entries(compose))
    sentences = [f"{_CALLERS} goes to {entries}"] if entries else []
    for service in compose.services.values():
        if service.is_job:
            continue
        if replicas is None:
            told = _count(service.replicas)
        else:
            states = [_state(r) for r in replicas if r.service == service.name]
            counted = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
            told = counted or "not started"
        callees = [c.callee for c in topology.calls(compose) if c.caller == service.name]
        calls = f", calls {', '.join(callees)}" if callees else ""
        sentences.append(f"{service.name} ({told}){calls}")
    return "; ".join(sentences)


def _state(replica: Replica) -> str:
    """As the runtimes tell it; a service that ended as it should is done."""
    return "done" if (replica.state, replica.exit_code) == ("exited", 0) else replica.state


def _arrow(way: list[Point]) -> str:
    (x1, y1), (x2, y2) = way[0], way[-1]
    if len(way) == 2:
        middle = (y1 + y2) / 2
        line = f"M{x1} {y1} C{x1} {middle} {x2} {middle} {x2} {y2 - 8}"
    else:
        line = "M" + " L".join(f"{x} {y}" for x, y in way)
    # The head looks along the last part of the way: down, right or left.
    turn = 0 if way[-2][1] != y2 or len(way) == 2 else -90 if x2 > way[-2][0] else 90
    return (
        f'<path d="{line}" fill="none" stroke="currentColor" stroke-width="1.5" '
        'stroke-linejoin="round"/>'
        f'<path d="M-5 -8 L0 0 L5 -8 Z" transform="translate({x2} {y2}) rotate({turn})" '
        'fill="currentColor"/>'
    )


def _box(box: Box, service: Service, states: list[str] | None) -> str:
    if states is None:
        last = _count(service.replicas)
    else:
        shown = states if len(states) <= _SIGNS_MAX else dict.fromkeys(states)
        signs = "".join(f'<tspan fill="{_SIGNS[s][1]}">{_SIGNS[s][0]}</tspan>' for s in shown)
        ready = f"{states.count('ready')} of {len(states)} ready"
        last = f"{signs} {states[0] if len(set(states)) == 1 else ready}"
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{WIDTH}" height="{HEIGHT}" rx="6" '
        'fill="currentColor" fill-opacity="0.05" stroke="currentColor" stroke-opacity="0.6"/>'
        + _text(box, 20, html.escape(service.name), service.name, 'font-weight="600"')
        + _text(box, 36, html.escape(kind := _kind(service.command)), kind, 'fill-opacity="0.75"')
        + _text(box, 54, last, "", "")
    )


def _text(box: Box, down: int, content: str, plain: str, style: str) -> str:
    size = 14 if "weight" in style else 12
    narrow = f' textLength="{WIDTH - 14}" lengthAdjust="spacingAndGlyphs"'
    return (
        f'<text x="{box.center}" y="{box.y + down}" text-anchor="middle" fill="currentColor" '
        f'font-size="{size}" {style}{narrow if len(plain) > _LETTERS_MAX else ""}>{content}</text>'
    )


def _count(replicas: int) -> str:
    return "1 replica" if replicas == 1 else f"{replicas} replicas"


_KINDS = {
    "python": "Python service",
    "envoy": "Envoy",
    "redis-server": "Redis",
    "postgres": "PostgreSQL",
    "prometheus": "Prometheus",
}


def _kind(command: tuple[str, ...]) -> str:
    program = server(command)
    return _KINDS.get(program, program)
