"""What the stack must know of Envoy: its clusters, its fault filter, its administration port.

In containers Envoy finds the replicas of a service by DNS (`STRICT_DNS`). Plain processes have no
names and each replica has a port of its own; there the same clusters read their endpoints from a
file that the process runtime rewrites as often as the cluster would have asked the DNS
(`dns_refresh_rate`, 5 s unless stated: Envoy's own default).
"""

import copy
import functools
import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab_services.errors import LabError, Refused
from lab_services.stack.compose import ComposeError, ComposeFile, Service

_TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
_DNS_REFRESH = 5.0  # seconds, Envoy's default dns_refresh_rate
_MERGE_WINDOW = 1.0  # seconds, Envoy's default update_merge_window
_TIMEOUT = 2.0  # seconds for one question to the administration
_PATIENCE = 15.0  # seconds in which it is asked again
_POLL = 0.1  # seconds between two such questions
_FAULT_FILTER = "envoy.filters.http.fault"


class NoAnswer(LabError):
    """Envoy's administration has not answered this time; it may be asked again."""


@dataclass(frozen=True)
class Cluster:
    """A cluster of an Envoy configuration whose endpoints are the replicas of one service."""

    name: str
    service: str
    port: int
    refresh: float  # seconds between two questions to the DNS
    lag: float  # seconds after which a change of health has reached the threads that send


def is_envoy(service: Service) -> bool:
    """True for a service that runs Envoy."""
    return Path(service.command[0]).name == "envoy"


def config_path(service: Service) -> Path:
    """The configuration on this machine: the argument of `-c`, through the bind mounts."""
    words = service.command
    if "-c" not in words[:-1]:
        raise ComposeError(f"{service.name}: give Envoy its configuration by `-c FILE`.")
    inside = words[words.index("-c") + 1]
    for volume in service.volumes:
        if not volume.named and (inside == volume.target or inside.startswith(volume.target + "/")):
            return Path(volume.source + inside.removeprefix(volume.target))
    raise ComposeError(f"{service.name}: {inside} is not mounted from this machine.")


def read_config(service: Service) -> Mapping[str, Any]:
    """Envoy's bootstrap as the pattern's folder holds it; not to be changed."""
    path = config_path(service)
    try:
        return _parsed(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise ComposeError(f"{service.name}: there is no {path}.") from None


@functools.lru_cache(maxsize=32)
def _parsed(path: Path, _changed: int) -> Mapping[str, Any]:
    """Once for each state of the file: every change of a stack asks what its proxies call."""
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ComposeError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ComposeError(f"{path} is not an Envoy bootstrap.")
    return content


def clusters(config: Mapping[str, Any], compose: ComposeFile) -> list[Cluster]:
    """The clusters that stand for services of this stack."""
    found = []
    for cluster in config.get("static_resources", {}).get("clusters", []):
        for address in _endpoint_addresses(cluster):
            if address["address"] in compose.services:
                found.append(
                    Cluster(
                        cluster["name"],
                        address["address"],
                        int(address["port_value"]),
                        _seconds(cluster.get("dns_refresh_rate", f"{_DNS_REFRESH}s")),
                        _merge_window(cluster) if "health_checks" in cluster else 0.0,
                    )
                )
    return found


def _merge_window(cluster: Mapping[str, Any]) -> float:
    stated = cluster.get("common_lb_config", {}).get("update_merge_window", f"{_MERGE_WINDOW}s")
    return _seconds(stated)


def _seconds(duration: Any) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(duration))
    if not match:
        raise ComposeError(f"Envoy reads no duration {duration!r}: write it as 0.5s.")
    return float(match[1])


def called_services(service: Service, compose: ComposeFile) -> list[tuple[str, int]]:
    """Which service ports this Envoy sends requests to."""
    return [(c.service, c.port) for c in clusters(read_config(service), compose)]


@dataclass(frozen=True)
class Proxy:
    """An Envoy in front of a service: its administration port and its clusters for the service."""

    admin: int
    clusters: tuple[str, ...]
    port: int  # the service's own port that the clusters send to
    lag: float  # seconds, the longest of the clusters'


def proxies_of(compose: ComposeFile, service: str) -> dict[str, Proxy]:
    """The Envoys of the stack that have a cluster for a service."""
    found = {}
    for proxy in compose.services.values():
        if is_envoy(proxy):
            config = read_config(proxy)
            own = [c for c in clusters(config, compose) if c.service == service]
            if own:
                names = tuple(c.name for c in own)
                lag = max(c.lag for c in own)
                found[proxy.name] = Proxy(_admin_port(proxy, config), names, own[0].port, lag)
    return found


def for_processes(
    config: Mapping[str, Any], compose: ComposeFile, ports: Mapping[int, int], endpoints: Path
) -> dict[str, Any]:
    """The same bootstrap for a plain process.

    `ports` maps the container's ports to free ones on loopback; `endpoints` is the folder of the
    endpoint files.
    """
    result = copy.deepcopy(dict(config))
    for address in _socket_addresses(result):
        if address.get("address") in ("0.0.0.0", "127.0.0.1", "::"):
            address["address"] = "127.0.0.1"
            address["port_value"] = ports.get(address["port_value"], address["port_value"])
    own = {c.name for c in clusters(config, compose)}
    for cluster in result.get("static_resources", {}).get("clusters", []):
        if cluster["name"] in own:
            cluster["type"] = "EDS"
            for key in ("load_assignment", "dns_refresh_rate", "dns_lookup_family"):
                cluster.pop(key, None)
            cluster["eds_cluster_config"] = {
                "eds_config": {
                    "resource_api_version": "V3",
                    "path_config_source": {"path": str(endpoints / f"{cluster['name']}.json")},
                }
            }
    result.setdefault("node", {"id": "proxy", "cluster": "stack"})
    return result


def write_endpoints(folder: Path, cluster: Cluster, ports: list[int]) -> None:
    """Tell a process-run Envoy the loopback ports of a cluster; it notices the renamed file."""
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        for port in ports
    ]
    content = {
        "resources": [
            {
                "@type": _TYPE,
                "cluster_name": cluster.name,
                "endpoints": [{"lb_endpoints": endpoints}] if endpoints else [],
            }
        ]
    }
    fresh = folder / f".{cluster.name}.json"
    fresh.write_text(json.dumps(content))
    fresh.rename(folder / f"{cluster.name}.json")


def healthy_hosts(admin: str, names: tuple[str, ...]) -> list[set[str]]:
    """The `address:port` of every host that each named cluster sends requests to.

    `admin` is the address of Envoy's administration. A host that fails its health check is not
    among them. Raises NoAnswer.
    """
    answer = json.loads(_ask(admin, "GET", "/clusters?format=json"))
    return [
        {
            f"{address['address']}:{address['port_value']}"
            for host in status.get("host_statuses", [])
            if not host["health_status"].get("failed_active_health_check")
            and not host["health_status"].get("failed_outlier_check")
            for address in [host["address"]["socket_address"]]
        }
        for status in answer["cluster_statuses"]
        if status["name"] in names
    ]


def set_fault(
    compose: ComposeFile,
    service: str,
    addresses: Mapping[str, Sequence[str]],
    values: Mapping[str, int],
) -> None:
    """Set `fault.<service>.<key>` in every Envoy in front of a service.

    `addresses` are those of the administration ports of each proxy's replicas. The keys are those
    of the fault filter: delay_percent, delay_ms, abort_percent, abort_status.
    Raises Refused where no proxy that runs has a fault filter for the service.
    """
    able = [
        name
        for name in proxies_of(compose, service)
        if _has_fault_filter(read_config(compose.services[name]), service)
    ]
    if not able:
        raise Refused(
            f"No proxy in front of {service} can delay or fail its requests.",
            f"Give Envoy a fault filter whose runtime keys begin with fault.{service}.",
        )
    if not any(addresses[name] for name in able):
        raise Refused(f"{', '.join(able)} does not run.", "Start it: stack.start(…).")
    query = "&".join(f"fault.{service}.{key}={value}" for key, value in values.items())
    for name in able:
        for address in addresses[name]:
            _ask_until_answered(address, "POST", f"/runtime_modify?{query}")


def _has_fault_filter(config: Mapping[str, Any], service: str) -> bool:
    return any(
        node.get("name") == _FAULT_FILTER
        and node.get("typed_config", {}).get("delay_percent_runtime")
        == f"fault.{service}.delay_percent"
        for node in _mappings(config)
    )


def _admin_port(proxy: Service, config: Mapping[str, Any]) -> int:
    try:
        port = int(config["admin"]["address"]["socket_address"]["port_value"])
    except KeyError:
        raise ComposeError(f"{config_path(proxy)} needs an `admin` address.") from None
    if port not in [p.container for p in proxy.ports]:
        raise ComposeError(f"{proxy.name}: publish Envoy's administration port {port} on loopback.")
    return port


def _endpoint_addresses(cluster: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(_socket_addresses(cluster.get("load_assignment", {})))


def _socket_addresses(node: Any) -> Iterator[dict[str, Any]]:
    for mapping in _mappings(node):
        if isinstance(mapping.get("socket_address"), dict):
            yield mapping["socket_address"]


def _mappings(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _mappings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _mappings(value)


def _ask(address: str, method: str, path: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"Envoy's administration at {address} does not answer: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise LabError(f"Envoy refused {path}: {text}")
    return text


def _ask_until_answered(address: str, method: str, path: str) -> str:
    """For what may be asked twice. Where processors are busy an answer may take its time."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return _ask(address, method, path)
        except NoAnswer:
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL)
