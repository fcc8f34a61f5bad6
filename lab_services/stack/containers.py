"""What Compose is told to run: one entry a replica, so that each has its own name and port."""

import os
import shlex
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab_services.errors import LabError
from lab_services.stack.compose import ComposeFile, Service

STACK = "lab-services.stack"
KEEPER = "lab-services.supervisor"
USER = "lab-services.user"
SERVICE = "lab-services.service"
NUMBER = "lab-services.number"

_ORDINARY_USER = "10001:10001"  # as in the image, whatever another image says
CPU_PERIOD = 100_000  # microseconds, the engine's own default
_LOG = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "2"}}


def key(service: str, number: int) -> str:
    """The name of a replica in Compose's file; a service's own name has no underscore."""
    return f"{service}_{number}"


def project(ident: str, labels: Mapping[str, str], entries: Iterable[dict[str, Any]]) -> Any:
    """The whole file for a stack, or for some replicas of it.

    Compose starts what it is given, with no order and no health checks: both are the runtime's.
    """
    entries = list(entries)
    volumes = {
        mount["source"]
        for entry in entries
        for mount in entry["volumes"]
        if mount["type"] == "volume"
    }
    name = f"lab-{ident}"
    return {
        "name": name,
        "services": {
            key(entry["labels"][SERVICE], entry["labels"][NUMBER]): {
                **entry,
                "container_name": (
                    f"{name}-{key(entry['labels'][SERVICE], entry['labels'][NUMBER])}"
                ),
                "labels": {**labels, **entry["labels"]},
            }
            for entry in entries
        },
        "networks": {"default": {"name": name, "labels": dict(labels)}},
        "volumes": {v: {"name": f"{name}_{v}", "labels": dict(labels)} for v in sorted(volumes)},
    }


def cpu_quota(cores: float | None) -> int:
    """The engine's quota for that many cores, for a period of CPU_PERIOD; -1 for no limit."""
    return round(cores * CPU_PERIOD) if cores else -1


def entry(
    compose: ComposeFile,
    service: Service,
    number: int,
    image: str,
    ports: Mapping[int, int],
    cores: float | None,
) -> dict[str, Any]:
    """One replica; `ports` maps its container ports to those of loopback, `cores` limits it."""
    user = str(service.container.get("user", _ORDINARY_USER))
    if user.partition(":")[0] in ("0", "root"):
        raise LabError(
            f"{compose.path}: {service.name} asks for the user {user}.",
            "A stack's containers run as an ordinary user; take the line `user` out.",
        )
    result: dict[str, Any] = {
        **{k: v for k, v in service.container.items() if k != "build"},
        "image": image,
        "command": [_literal(word) for word in service.command],
        "environment": {k: _literal(v) for k, v in service.environment.items()},
        "ports": [f"127.0.0.1:{host}:{inside}" for inside, host in ports.items()],
        "volumes": [
            {
                "type": "volume" if volume.named else "bind",
                "source": volume.source if volume.named else _literal(volume.source),
                "target": volume.target,
                "read_only": volume.read_only,
                **({} if volume.named else {"bind": {"create_host_path": False}}),
            }
            for volume in service.volumes
        ],
        "networks": {"default": {"aliases": [service.name]}},
        "user": user,
        "init": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "logging": _LOG,
        "stop_signal": service.stop_signal,
        "labels": {SERVICE: service.name, NUMBER: str(number)},
    }
    if cores:
        # What `cpus` stands for, in the words in which it can be changed while a container runs.
        result |= {"cpu_period": CPU_PERIOD, "cpu_quota": cpu_quota(cores)}
    if service.memory:
        # Without swap, as a plain process of a stack is held to its memory.
        result |= {"mem_limit": service.memory, "memswap_limit": service.memory}
    return result


def check_mounts(service: Service) -> None:
    """Raises LabError for a mount that the container's user may not read, as after `umask 077`."""
    user = str(service.container.get("user", _ORDINARY_USER)).partition(":")[0]
    # Elsewhere engines share the files of this machine in their own way.
    if sys.platform != "linux" or user == str(os.getuid()):
        return
    for volume in service.volumes:
        closed = None if volume.named else next(_closed(Path(volume.source)), None)
        if closed is not None:
            raise LabError(
                f"{service.name} mounts {closed}, which its container's user cannot read.",
                f"Type: chmod -R o+rX {shlex.quote(volume.source)}",
            )


def _closed(place: Path) -> Iterator[Path]:
    """What others cannot read of a file or of a folder, hidden files apart."""
    needed = stat.S_IROTH | (stat.S_IXOTH if place.is_dir() else 0)
    if place.stat().st_mode & needed != needed:
        yield place
    elif place.is_dir():
        # A link leads to a place in the container, not here.
        for inside in sorted(p for p in place.glob("[!.]*") if not p.is_symlink()):
            yield from _closed(inside)


def _literal(text: str) -> str:
    return text.replace("$", "$$")  # Compose would fill in variables a second time
