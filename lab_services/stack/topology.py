"""Who calls whom in a stack, read from the Compose file and from Envoy's configuration."""

from collections.abc import Iterable
from dataclasses import dataclass

from lab_services.stack import envoy
from lab_services.stack.compose import ComposeFile


@dataclass(frozen=True)
class Call:
    """`caller` sends requests to `callee`."""

    caller: str
    callee: str


def calls(compose: ComposeFile) -> list[Call]:
    """Every call between services: by an address that one is given or by a cluster of Envoy."""
    found: dict[Call, None] = {}
    for service in compose.services.values():
        texts = (*service.environment.values(), *service.command)
        targets = [name for text in texts for name, _ in compose.references(text)]
        if envoy.is_envoy(service):
            targets += [name for name, _ in envoy.called_services(service, compose)]
        for name in targets:
            if name != service.name:
                found[Call(service.name, name)] = None
    return list(found)


def layers(names: Iterable[str], edges: Iterable[Call]) -> list[list[str]]:
    """Services in layers, callers above those they call; a circle is cut where it closes."""
    names = list(names)
    callees: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        callees[edge.caller].append(edge.callee)
    depth = dict.fromkeys(names, 0)

    def place(name: str, level: int, above: tuple[str, ...]) -> None:
        depth[name] = max(depth[name], level)
        for callee in callees[name]:
            if callee not in above:
                place(callee, level + 1, (*above, callee))

    called = {callee for found in callees.values() for callee in found}
    for name in [n for n in names if n not in called] or names[:1]:
        place(name, 0, (name,))
    return [[n for n in names if depth[n] == level] for level in sorted(set(depth.values()))]
