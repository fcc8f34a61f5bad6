"""Read a Compose file: the stated subset that every runtime supports, anything else refused.

The subset is the set of keys in `_SERVICE_KEYS`. A key outside it is an error with the file, the
line and the key, because a runtime that ignored it silently would run another topology.
"""

import os
import re
import shlex
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab_services.errors import LabError


class ComposeError(LabError):
    """The Compose file cannot be used; the message names file, line and key."""


@dataclass(frozen=True)
class Port:
    """A container port published on loopback; `host` is None when any free port will do."""

    container: int
    host: int | None = None


@dataclass(frozen=True)
class Volume:
    """A bind mount (`source` is a path of this machine) or a named volume of the stack."""

    source: str
    target: str
    named: bool
    read_only: bool = False


@dataclass(frozen=True)
class Probe:
    """How a service is asked whether it is ready."""

    kind: str  # "http" (GET path), "redis" (PING), "postgres" (SSLRequest), "tcp" (connect)
    port: int
    path: str = ""


@dataclass(frozen=True)
class Service:
    """One service of a stack, as the Compose file states it.

    `cpus` are whole cores, `memory` and `stop_grace` are bytes and seconds.
    """

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    depends_on: Mapping[str, str] = field(default_factory=dict)
    probe: Probe | None = None
    has_healthcheck: bool = False  # stated, not our own asking whether the port is open
    replicas: int = 1
    cpus: int | None = None
    memory: int | None = None
    profiles: tuple[str, ...] = ()
    stop_signal: str = "SIGTERM"
    stop_grace: float = 10.0
    # Keys that only a container can honour; plain processes have no counterpart for them.
    container: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_job(self) -> bool:
        """A job is started by `Stack.run`, not by `Stack.up`: Compose marks it by a profile."""
        return bool(self.profiles)


@dataclass(frozen=True)
class ComposeFile:
    """A whole topology."""

    path: Path
    services: Mapping[str, Service]
    volumes: tuple[str, ...] = ()
    # `x-traffic` names the services that a lab's traffic goes to, for the picture.
    traffic: tuple[str, ...] = ()

    def service(self, name: str) -> Service:
        """The service of that name. Raises LabError naming those there are."""
        if name not in self.services:
            known = ", ".join(self.services)
            raise LabError(f"This stack has no service {name!r}.", f"It has: {known}.")
        return self.services[name]

    def callers(self, name: str) -> list[str]:
        """The services that call `name` by an address in their environment or command."""
        return [
            service.name
            for service in self.services.values()
            for text in (*service.environment.values(), *service.command)
            if any(called == name for called, _ in self.references(text))
        ]

    def references(self, text: str) -> list[tuple[str, int]]:
        """Every `service:port` in a text, for services of this file."""
        names = "|".join(re.escape(n) for n in sorted(self.services, key=len, reverse=True))
        return [(m[1], int(m[2])) for m in re.finditer(rf"(?<![\w.-])({names}):(\d+)\b", text)]


_VARIABLE = re.compile(
    r"(?P<escaped>\$\$)|\$(?P<plain>[A-Za-z_]\w*)"
    r"|\$\{(?P<name>\w+)(?:(?P<operator>:-|:\?)(?P<rest>[^${}]*))?\}|\$(?:\{[^}]*\}?|.?)"
)
_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
_CONTAINER_KEYS = (
    "build",
    "cap_drop",
    "init",
    "read_only",
    "security_opt",
    "tmpfs",
    "user",
    "working_dir",
)
_SERVICE_KEYS = (
    "image",
    "command",
    "environment",
    "ports",
    "volumes",
    "depends_on",
    "healthcheck",
    "deploy",
    "profiles",
    "stop_signal",
    "stop_grace_period",
    *_CONTAINER_KEYS,
)
_HEALTHCHECK_KEYS = ("test", "interval", "timeout", "retries", "start_period")
_SHAPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "image": ("a text", (str,)),
    "command": ("a list or a text", (list, str)),
    "environment": ("a mapping or a list", (dict, list)),
    "ports": ("a list", (list,)),
    "volumes": ("a list", (list,)),
    "depends_on": ("a mapping or a list", (dict, list)),
    "healthcheck": ("a mapping", (dict,)),
    "deploy": ("a mapping", (dict,)),
    "profiles": ("a list", (list,)),
    "stop_signal": ("a text", (str,)),
}


def read(path: Path, variables: Mapping[str, str] | None = None) -> ComposeFile:
    """Read the file at `path`; `variables` stand for `${NAME}` (default: the environment).

    Raises ComposeError for anything outside the supported subset.
    """
    return _Reader(path, os.environ if variables is None else variables).read()


class _Reader:
    def __init__(self, path: Path, variables: Mapping[str, str]) -> None:
        self.path = path
        self.variables = variables
        self.lines: dict[tuple[str, ...], int] = {}
        self.unquoted: dict[tuple[str, ...], str] = {}
        self.merged: set[int] = set()

    def read(self) -> ComposeFile:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ComposeError(f"There is no Compose file at {self.path}.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ComposeError(f"{self.path} cannot be read: {error}") from None
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            content = self._construct(loader, node, ())
        except yaml.YAMLError as error:
            raise ComposeError(f"{self.path} is not valid YAML: {error}") from None
        finally:
            loader.dispose()
        if not isinstance(content, dict) or not isinstance(content.get("services"), dict):
            raise self._error((), "a Compose file needs a mapping `services`")
        for key in content:
            if key not in ("name", "services", "volumes") and not key.startswith("x-"):
                raise self._unsupported((key,), ("name", "services", "volumes", "x-…"))
        volumes = content.get("volumes") or {}
        if not isinstance(volumes, dict):
            raise self._error(("volumes",), "it must be a mapping")
        for name, options in volumes.items():
            if options:
                raise self._error(("volumes", name), "a named volume takes no options here")
        services = {
            name: self._service(name, body, tuple(volumes))
            for name, body in content["services"].items()
        }
        if not services:
            raise self._error(("services",), "there is no service in it")
        traffic = content.get("x-traffic") or []
        if not isinstance(traffic, list) or not set(traffic) <= set(services):
            raise self._error(("x-traffic",), f"a list of services: {', '.join(services)}")
        compose = ComposeFile(self.path, services, tuple(volumes), tuple(traffic))
        self._check_relations(compose)
        return compose

    # YAML nodes keep their lines; merged keys (`<<: *service`) keep those of the anchor.
    def _construct(self, loader: yaml.SafeLoader, node: Any, where: tuple[str, ...]) -> Any:
        if isinstance(node, yaml.MappingNode):
            if id(node) not in self.merged:  # an anchor that is used twice is met twice
                self._refuse_duplicates(node, where)
                loader.flatten_mapping(node)
                self.merged.add(id(node))
            result: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(loader.construct_object(key_node))
                self.lines[(*where, key)] = key_node.start_mark.line + 1
                result[key] = self._construct(loader, value_node, (*where, key))
            return result
        if isinstance(node, yaml.SequenceNode):
            return [
                self._construct(loader, item, (*where, str(i))) for i, item in enumerate(node.value)
            ]
        value = _scalar(loader, node) if node is not None else None
        if node is not None and node.style is None:
            self.unquoted[where] = node.value
        return self._interpolate(value, where) if isinstance(value, str) else value

    def _refuse_duplicates(self, node: yaml.MappingNode, where: tuple[str, ...]) -> None:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.value in seen and key_node.value != "<<":
                self.lines[(*where, key_node.value)] = key_node.start_mark.line + 1
                raise self._error((*where, key_node.value), "the key stands here twice")
            seen.add(key_node.value)

    def _interpolate(self, text: str, where: tuple[str, ...]) -> str:
        def replace(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "$"
            name, rest = match["plain"] or match["name"], match["rest"] or ""
            if name is None:
                raise self._error(
                    where, f"{match[0]!r}: use ${{NAME}}, ${{NAME:-default}}, ${{NAME:?text}} or $$"
                )
            value = self.variables.get(name, "")
            if value:
                return value
            if match["operator"] == ":-":
                return rest
            if match["operator"] == ":?":
                raise self._error(where, f"${{{name}}} is not set: {rest}")
            if name in self.variables:
                return ""
            raise self._error(where, f"${{{name}}} is not set; give it a default: ${{{name}:-…}}")

        if where and where[0].startswith("x-"):
            return text  # an anchor: its variables count where it is used
        return re.sub(_VARIABLE, replace, text)

    def _service(self, name: str, body: Any, volumes: tuple[str, ...]) -> Service:
        at = ("services", name)
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise self._error(at, "a service is named by small letters, digits and hyphens")
        if not isinstance(body, dict):
            raise self._error(at, "a service is a mapping")
        for key in body:
            if key not in _SERVICE_KEYS:
                raise self._unsupported((*at, key), _SERVICE_KEYS)
            shape, kinds = _SHAPES.get(key, ("", ()))
            if shape and body[key] is not None and not isinstance(body[key], kinds):
                raise self._error((*at, key), f"it must be {shape}")
        for key in ("image", "command"):
            if not body.get(key):
                raise self._error(at, f"a service needs `{key}`")
        deploy = self._deploy(body.get("deploy") or {}, (*at, "deploy"))
        ports = tuple(
            self._port(str(text), (*at, "ports", str(i)))
            for i, text in enumerate(body.get("ports") or [])
        )
        return Service(
            name=name,
            image=body["image"],
            command=self._words(body["command"], (*at, "command")),
            environment=self._environment(body.get("environment") or {}, (*at, "environment")),
            ports=ports,
            volumes=tuple(
                self._volume(str(text), volumes, (*at, "volumes", str(i)))
                for i, text in enumerate(body.get("volumes") or [])
            ),
            depends_on=self._depends_on(body.get("depends_on") or {}, (*at, "depends_on")),
            probe=self._probe(body, ports, at),
            has_healthcheck=bool(body.get("healthcheck")),
            profiles=tuple(body.get("profiles") or ()),
            stop_signal=self._signal(body.get("stop_signal") or "SIGTERM", (*at, "stop_signal")),
            stop_grace=self._seconds(
                body.get("stop_grace_period") or "10s", (*at, "stop_grace_period")
            ),
            container={k: body[k] for k in _CONTAINER_KEYS if k in body},
            **deploy,
        )

    def _words(self, value: Any, at: tuple[str, ...]) -> tuple[str, ...]:
        if isinstance(value, list):
            if not all(isinstance(word, str) for word in value):
                raise self._error(at, "write every word in quotes")
            return tuple(value)
        try:
            return tuple(shlex.split(str(value)))
        except ValueError as error:
            raise self._error(at, f"{value!r}: {error}") from None

    def _deploy(self, body: dict[str, Any], at: tuple[str, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in body.items():
            if key == "replicas":
                if not re.fullmatch(r"[1-9]\d*", str(value)):
                    raise self._error((*at, key), f"{value!r} is not a count of replicas")
                result["replicas"] = int(value)
            elif key == "resources":
                limits = value.get("limits") if isinstance(value, dict) else None
                if (
                    not isinstance(limits, dict)
                    or set(value) != {"limits"}
                    or set(limits) - {"cpus", "memory"}
                ):
                    raise self._error((*at, key), "only `limits: {cpus, memory}` is supported")
                if "cpus" in limits:
                    result["cpus"] = self._cpus(limits["cpus"], (*at, key, "limits", "cpus"))
                if "memory" in limits:
                    result["memory"] = self._memory(
                        str(limits["memory"]), (*at, key, "limits", "memory")
                    )
            else:
                raise self._unsupported((*at, key), ("replicas", "resources"))
        return result

    def _cpus(self, value: Any, at: tuple[str, ...]) -> int:
        # A plain process is held to cores by affinity, which knows no fractions.
        match = re.fullmatch(r"([1-9]\d*)(?:\.0+)?", str(value))
        if not match:
            raise self._error(at, f"{value!r}: whole cores only, so that both runtimes agree")
        return int(match[1])

    def _signal(self, name: str, at: tuple[str, ...]) -> str:
        if name not in signal.Signals.__members__:
            raise self._error(at, f"{name!r} is not a signal such as SIGTERM")
        return name

    def _memory(self, text: str, at: tuple[str, ...]) -> int:
        match = re.fullmatch(r"(\d+)\s*([kmg]?)b?", text.strip().lower())
        if not match:
            raise self._error(at, f"{text!r} is not a size such as 256m")
        power: int = ("", "k", "m", "g").index(match[2])
        return int(match[1]) * int(1024**power)

    def _seconds(self, value: Any, at: tuple[str, ...]) -> float:
        match = re.fullmatch(r"(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?", str(value).strip())
        if not match or not any(match.groups()):
            raise self._error(at, f"{value!r} is not a duration such as 10s or 1m30s")
        minutes, seconds, millis = match.groups()
        return int(minutes or 0) * 60 + float(seconds or 0) + int(millis or 0) / 1000

    def _port(self, text: str, at: tuple[str, ...]) -> Port:
        match = re.fullmatch(r"127\.0\.0\.1:(\d*):(\d+)", text)
        if not match:
            raise self._error(
                at,
                f"{text!r}: publish on loopback only, as 127.0.0.1::8000 (any free port) "
                "or 127.0.0.1:8000:8000",
            )
        numbers = [int(number) for number in match.groups() if number]
        if not all(1 <= number <= 65535 for number in numbers):
            raise self._error(at, f"{text!r}: a port is a number from 1 to 65535")
        return Port(container=numbers[-1], host=int(match[1]) if match[1] else None)

    def _environment(self, body: Any, at: tuple[str, ...]) -> dict[str, str]:
        if isinstance(body, list):
            if any("=" not in str(item) for item in body):
                raise self._error(at, "give each variable a value: NAME=value")
            return dict(str(item).split("=", 1) for item in body)
        for key, value in body.items():
            if value is None:
                raise self._error((*at, key), "the variable has no value")
            if not isinstance(value, str | int | float):
                raise self._error((*at, key), "the value of a variable is one text")
            if _is_odd_number(self.unquoted.get((*at, key), "")):
                raise self._error((*at, key), "write it in quotes: Compose rewrites such a number")
        return {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in body.items()
        }

    def _volume(self, text: str, named: tuple[str, ...], at: tuple[str, ...]) -> Volume:
        parts = text.split(":")
        if len(parts) not in (2, 3) or (len(parts) == 3 and parts[2] not in ("ro", "rw")):
            raise self._error(at, f"{text!r} is not source:target or source:target:ro")
        source, target = parts[:2]
        read_only = parts[2:] == ["ro"]
        if source.startswith((".", "/", "~")):
            place = (self.path.parent / Path(source).expanduser()).resolve()
            return Volume(str(place), target, named=False, read_only=read_only)
        if source not in named:
            raise self._error(at, f"the volume {source!r} is not declared under `volumes`")
        return Volume(source, target, named=True, read_only=read_only)

    def _depends_on(self, body: Any, at: tuple[str, ...]) -> dict[str, str]:
        if isinstance(body, list):
            return {str(name): "service_started" for name in body}
        result: dict[str, str] = {}
        for name, options in body.items():
            stated = options if isinstance(options, dict) else {}
            if set(stated) != {"condition"} or stated["condition"] not in _CONDITIONS:
                raise self._error(
                    (*at, name), f"needs `condition`: one of {', '.join(_CONDITIONS)}"
                )
            result[name] = stated["condition"]
        return result

    def _probe(
        self, body: dict[str, Any], ports: tuple[Port, ...], at: tuple[str, ...]
    ) -> Probe | None:
        check = body.get("healthcheck")
        if not check:
            return Probe("tcp", ports[0].container) if ports else None
        at = (*at, "healthcheck")
        for key in check:
            if key not in _HEALTHCHECK_KEYS:
                raise self._unsupported((*at, key), _HEALTHCHECK_KEYS)
        test = check.get("test")
        words = self._words(test or "", (*at, "test"))
        if words[:1] == ("CMD-SHELL",):
            words = self._words(" ".join(words[1:]), (*at, "test"))
        elif words[:1] == ("CMD",):
            words = words[1:]
        probe = _read_probe(words)
        if probe is None:
            raise self._error(
                (*at, "test"),
                "a readiness test is [CMD, curl, -fsS, http://127.0.0.1:PORT/PATH], "
                "[CMD, redis-cli, -p, PORT, ping] or [CMD, pg_isready, -h, 127.0.0.1, -p, PORT]",
            )
        if probe.port not in [p.container for p in ports]:
            raise self._error((*at, "test"), f"port {probe.port} is not published under `ports`")
        return probe

    def _check_relations(self, compose: ComposeFile) -> None:
        fixed: set[int] = set()
        for service in compose.services.values():
            at = ("services", service.name)
            self._check_dependencies(compose, service, (*at, "depends_on"))
            for port in service.ports:
                if port.host is None:
                    continue
                if port.host in fixed or service.replicas > 1:
                    raise self._error((*at, "ports"), f"only one can have the port {port.host}")
                fixed.add(port.host)
            if len({p.container for p in service.ports}) < len(service.ports):
                raise self._error((*at, "ports"), "a port is published once")
            for key, value in service.environment.items():
                self._check_references(compose, value, (*at, "environment", key))
            for word in service.command:
                self._check_references(compose, word, (*at, "command"))
        _refuse_cycles(compose, self._error)

    def _check_dependencies(
        self, compose: ComposeFile, service: Service, at: tuple[str, ...]
    ) -> None:
        for name, condition in service.depends_on.items():
            if name not in compose.services:
                raise self._error(at, f"there is no service {name!r}")
            needed = compose.services[name]
            if needed.is_job and not service.is_job:
                raise self._error((*at, name), "a job is started by hand: nothing waits for it")
            if condition == "service_completed_successfully" and needed.ports:
                raise self._error((*at, name), "a service with ports never ends")
            if condition == "service_healthy" and not needed.has_healthcheck:
                raise self._error((*at, name), f"{name} needs a `healthcheck`")

    def _check_references(self, compose: ComposeFile, text: str, at: tuple[str, ...]) -> None:
        for name, port in compose.references(text):
            needed = compose.services[name]
            known = [p.container for p in needed.ports]
            if port not in known:
                raise self._error(at, f"{name} does not publish port {port}, only {known}")
            if needed.is_job:
                raise self._error(at, f"{name} is a job: nothing can rely on its being there")
            if needed.replicas > 1:
                raise self._error(at, f"{name} has several replicas: call it through a proxy")

    def _line(self, where: tuple[str, ...]) -> int:
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def _error(self, where: tuple[str, ...], text: str) -> ComposeError:
        key = ".".join(where) or "the file"
        return ComposeError(f"{self.path}, line {self._line(where)}, {key}: {text}")

    def _unsupported(self, where: tuple[str, ...], known: tuple[str, ...]) -> ComposeError:
        error = self._error(where, f"the key {where[-1]!r} is not supported on every runtime")
        return ComposeError(error.message, f"Supported here: {', '.join(known)}.")


def _scalar(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    """The value as Compose's YAML 1.2 reads it: `on` and 12:30 are texts there."""
    value = loader.construct_object(node)
    if isinstance(value, bool) and node.value.lower() not in ("true", "false"):
        return node.value
    if isinstance(value, int | float) and ":" in node.value:
        return node.value
    return value


def _is_odd_number(text: str) -> bool:
    """True for 1.0, 010, 1e3 and the like; 12 and 0.25 mean the same to everybody."""
    return bool(
        re.fullmatch(r"[-+]?(\.\d+|\d[\d_]*(\.\d*)?)(e[-+]?\d+)?|0[xob]\w+", text, re.IGNORECASE)
        and not re.fullmatch(r"-?(0|[1-9]\d{0,14})(\.(?=\d{1,3}$)\d*[1-9])?", text)
    )


def _read_probe(words: tuple[str, ...]) -> Probe | None:
    if not words:
        return None
    if words[0] == "curl":
        match = re.fullmatch(r"http://(?:127\.0\.0\.1|localhost):(\d+)(/\S*)", words[-1])
        return Probe("http", int(match[1]), match[2]) if match else None
    port = words[words.index("-p") + 1] if "-p" in words[:-1] else None
    if port is not None and not port.isdecimal():
        return None
    if words[0] == "redis-cli" and words[-1].lower() == "ping":
        return Probe("redis", int(port or 6379))
    if words[0] == "pg_isready":
        return Probe("postgres", int(port or 5432))
    return None


def _refuse_cycles(
    compose: ComposeFile, error: Callable[[tuple[str, ...], str], ComposeError]
) -> None:
    settled: set[str] = set()
    while len(settled) < len(compose.services):
        free = [
            s.name
            for s in compose.services.values()
            if s.name not in settled and set(s.depends_on) <= settled
        ]
        if not free:
            stuck = sorted(set(compose.services) - settled)
            raise error(("services", stuck[0], "depends_on"), f"a circle: {', '.join(stuck)}")
        settled.update(free)
