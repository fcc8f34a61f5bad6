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
    """Every call between services: by a URL in the environment or by a cluster of Envoy."""
    found: dict[Call, None] = {}
    for service in compose.services.values():
        targets = [name for v in service.environment.values() for name, _ in compose.references(v)]
        if envoy.is_envoy(service):
            targets += [name for name, _ in envoy.called_services(service, compose)]
        for name in targets:
            if name != service.name:
                found[Call(service.name, name)] = None
    return list(found)


def layers(names: Iterable[str], edges: Iterable[Call]) -> list[list[str]]:
    """Services in layers, callers above those they call; a circle is cut where it closes."""
    names, edges = list(names), list(edges)
    depth = dict.fromkeys(names, 0)
    for _ in names:  # as many rounds as the longest chain may have links
        for edge in edges:
            depth[edge.callee] = min(
                len(names) - 1, max(depth[edge.callee], depth[edge.caller] + 1)
            )
    return [[n for n in names if depth[n] == level] for level in sorted(set(depth.values()))]
