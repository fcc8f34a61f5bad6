"""Read a Compose file: the stated subset that every runtime supports, anything else refused.

The subset is the set of keys in `_SERVICE_KEYS`. A key outside it is an error with the file, the
line and the key, because a runtime that ignored it silently would run another topology. So is what
Compose itself reads otherwise than plain processes would. All errors of a file are told at once.
"""

import os
import posixpath
import re
import shlex
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab_services.errors import Refused
from lab_services.stack.compose_yaml import ComposeError, Place, Source

__all__ = ["ComposeError", "ComposeFile", "Port", "Probe", "Service", "Volume", "read"]


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
    # `x-partitions` names pairs of services that a lab cuts off from each other.
    partitions: frozenset[frozenset[str]] = frozenset()
    # Those of the variables that it names, as they were when it was read.
    variables: Mapping[str, str] = field(default_factory=dict)

    def service(self, name: str) -> Service:
        """The service of that name. Raises Refused naming those there are."""
        if name not in self.services:
            known = ", ".join(self.services)
            raise Refused(f"This stack has no service {name!r}.", f"It has: {known}.")
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
_DEPLOY_KEYS = ("replicas", "resources")
# What only a swarm looks at.
_IGNORED_OF_DEPLOY = ("endpoint_mode", "labels", "placement", "rollback_config", "update_config")
_SHAPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "image": ("a text", (str,)),
    "command": ("a list or a text", (list, str)),
    "environment": ("a mapping or a list", (dict, list)),
    "ports": ("a list", (list,)),
    "volumes": ("a list", (list,)),
    "depends_on": ("a mapping or a list", (dict, list)),
    "healthcheck": ("a mapping", (dict,)),
    "deploy": ("a mapping", (dict, type(None))),
    "profiles": ("a list", (list,)),
    "stop_signal": ("a text", (str,)),
    "stop_grace_period": ("a duration such as 10s", (str,)),
    "build": ("a text or a mapping", (str, dict)),
    "cap_drop": ("a list", (list,)),
    "init": ("true or false", (bool,)),
    "read_only": ("true or false", (bool,)),
    "security_opt": ("a list", (list,)),
    "tmpfs": ("a text or a list", (str, list)),
    "user": ("a text", (str,)),
    "working_dir": ("a text", (str,)),
}


def read(path: Path, variables: Mapping[str, str] | None = None) -> ComposeFile:
    """Read the file at `path`; `variables` stand for `${NAME}` (default: the environment).

    Raises ComposeError for anything outside the supported subset, with all that is wrong.
    """
    return _Reader(Source(path, os.environ if variables is None else variables)).read()


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.error = source.error
        self.note = source.note
        self.noting = source.noting

    def read(self) -> ComposeFile:
        content = self.source.content
        stated = content.get("services") if isinstance(content, dict) else None
        if not isinstance(stated, dict):
            self.source.refuse()  # where `services` itself could not be read
            raise self.error((), "a Compose file needs a mapping `services`")
        for key, value in content.items():
            with self.noting((key,)):
                self._top_level(key, value)
        volumes = self._volume_names(content.get("volumes"))
        services: dict[str, Service] = {}
        for name, body in stated.items():
            before = self.source.count
            with self.noting(("services", name)):
                read = self._service(name, body, volumes)
                if self.source.count == before:  # what is half read would be wrong once more
                    services[name] = read
        if not stated:
            self.note(("services",), self.error(("services",), "there is no service in it"))
        compose = ComposeFile(
            self.source.path,
            services,
            volumes,
            self._traffic(content, tuple(stated)),
            self._partitions(content, tuple(stated)),
            self.source.named,
        )
        self._check_relations(compose, tuple(stated))
        self.source.refuse()
        _refuse_cycles(compose, self.source)
        return compose

    def _top_level(self, key: str, value: Any) -> None:
        known = ("name", "services", "volumes", "x-…")
        if key == "name":
            self.source.text(value, (key,))
        elif key == "version":
            raise self._ignored((key,))
        elif key not in known and not key.startswith("x-"):
            raise self._unsupported((key,), known)

    def _volume_names(self, stated: Any) -> tuple[str, ...]:
        if stated is None:
            return ()
        if not isinstance(stated, dict):
            self.note(("volumes",), self.error(("volumes",), "it must be a mapping"))
            return ()
        for name, options in stated.items():
            if options not in (None, {}):
                at = ("volumes", name)
                self.note(at, self.error(at, "a named volume takes no options here"))
        return tuple(stated)

    def _traffic(self, content: dict[str, Any], services: tuple[str, ...]) -> tuple[str, ...]:
        traffic = content.get("x-traffic") or []
        if isinstance(traffic, list) and all(name in services for name in traffic):
            return tuple(traffic)
        at = ("x-traffic",)
        self.note(at, self.error(at, f"a list of services: {', '.join(services)}"))
        return ()

    def _partitions(
        self, content: dict[str, Any], services: tuple[str, ...]
    ) -> frozenset[frozenset[str]]:
        def is_pair(value: Any) -> bool:
            known = isinstance(value, list) and all(name in services for name in value)
            return known and len(value) == len(set(value)) == 2

        stated = content.get("x-partitions") or []
        if isinstance(stated, list) and all(map(is_pair, stated)):
            return frozenset(frozenset(pair) for pair in stated)
        at = ("x-partitions",)
        self.note(at, self.error(at, f"a list of pairs of services: {', '.join(services)}"))
        return frozenset()

    def _service(self, name: str, body: Any, volumes: tuple[str, ...]) -> Service:
        at = ("services", name)
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise self.error(at, "a service is named by small letters, digits and hyphens")
        if not isinstance(body, dict):
            raise self.error(at, "a service is a mapping")
        good: dict[str, Any] = {}
        for key, value in body.items():
            with self.noting((*at, key)):
                good[key] = self._of_its_shape(key, value, (*at, key))
        for key in ("image", "command"):
            if key not in body or body[key] in ("", []):
                self.note((*at, key), self.error(at, f"a service needs `{key}`"))
        parts: dict[str, Any] = {}
        readers: dict[str, Callable[[Any, Place], Any]] = {
            "command": self._command,
            "environment": self._environment,
            "ports": self._ports,
            "depends_on": self._depends_on,
            "deploy": self._deploy,
            "profiles": self._texts,
            "stop_signal": self._signal,
            "stop_grace_period": self._seconds,
        }
        for key, reader in readers.items():
            if good.get(key):
                with self.noting((*at, key)):
                    parts[key] = reader(good[key], (*at, key))
        with self.noting((*at, "volumes")):
            parts["volumes"] = self._volumes(good.get("volumes") or [], volumes, (*at, "volumes"))
        ports = parts.get("ports", ())
        probe = Probe("tcp", ports[0].container) if ports else None
        if good.get("healthcheck"):
            with self.noting((*at, "healthcheck")):
                known = ports if "ports" in parts or not body.get("ports") else None
                probe = self._probe(good["healthcheck"], known, (*at, "healthcheck"))
        return Service(
            name=name,
            image=good.get("image", ""),
            command=parts.get("command", ()),
            environment=parts.get("environment", {}),
            ports=ports,
            volumes=parts.get("volumes", ()),
            depends_on=parts.get("depends_on", {}),
            probe=probe,
            has_healthcheck=bool(good.get("healthcheck")),
            profiles=parts.get("profiles", ()),
            stop_signal=parts.get("stop_signal", "SIGTERM"),
            stop_grace=parts.get("stop_grace_period", 10.0),
            container={key: good[key] for key in _CONTAINER_KEYS if key in good},
            **parts.get("deploy", {}),
        )

    def _of_its_shape(self, key: str, value: Any, at: Place) -> Any:
        if key.startswith("x-"):
            raise self._ignored(at)
        if key not in _SERVICE_KEYS:
            raise self._unsupported(at, _SERVICE_KEYS)
        shape, kinds = _SHAPES.get(key, ("", (object,)))
        if not isinstance(value, kinds) or (isinstance(value, str) and self.source.is_odd(at)):
            quoted = ": put it in quotes" if shape == "a text" and value is not None else ""
            raise self.error(at, f"it must be {shape}{quoted}")
        if key in ("cap_drop", "security_opt", "tmpfs") and isinstance(value, list):
            self._texts(value, at)
        return value

    def _texts(self, items: list[Any], at: Place) -> tuple[str, ...]:
        return tuple(self.source.text(each, (*at, str(n))) for n, each in enumerate(items))

    def _command(self, value: Any, at: Place) -> tuple[str, ...]:
        words = self._words(value, at)
        if not words or not words[0]:
            raise self.error(at, "it is empty: name the program to run")
        return words

    def _words(self, value: Any, at: Place) -> tuple[str, ...]:
        if isinstance(value, list):
            for number, word in enumerate(value):
                if not isinstance(word, str) or self.source.is_odd((*at, str(number))):
                    raise self.error(at, "write every word in quotes")
            return tuple(value)
        if _is_for_a_shell(value):
            raise self.error(at, f"{value!r} looks like a shell's: write a list of words")
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise self.error(at, f"{value!r}: {error}") from None

    def _deploy(self, body: dict[str, Any], at: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in body.items():
            with self.noting((*at, key)):
                if key == "replicas":
                    if isinstance(value, bool) or not re.fullmatch(r"[1-9]\d*", str(value)):
                        raise self.error((*at, key), f"{value!r} is not a count of replicas")
                    found[key] = int(value)
                elif key == "resources":
                    found |= self._resources(value, (*at, key))
                elif key in _IGNORED_OF_DEPLOY:
                    raise self._ignored((*at, key))
                else:
                    raise self._unsupported((*at, key), _DEPLOY_KEYS)
        return found

    def _resources(self, body: Any, at: Place) -> dict[str, int]:
        limits = body.get("limits") if isinstance(body, dict) else None
        if not isinstance(limits, dict) or set(body) != {"limits"} or set(limits) - _LIMITS.keys():
            raise self.error(at, "only `limits: {cpus, memory}` is supported")
        found: dict[str, int] = {}
        for key, value in limits.items():
            with self.noting((*at, "limits", key)):
                found[key] = _LIMITS[key](self, value, (*at, "limits", key))
        return found

    def _cpus(self, value: Any, at: Place) -> int:
        # A plain process is held to cores by affinity, which knows no fractions.
        match = re.fullmatch(r"([1-9]\d*)(?:\.0+)?", str(value))
        if not match:
            raise self.error(at, f"{value!r}: whole cores only, so that both runtimes agree")
        return int(match[1])

    def _memory(self, value: Any, at: Place) -> int:
        text = self.source.text(value, at, "a size such as 256m")
        match = re.fullmatch(r"(\d{1,18}) ?(?:([kmg])b?|b?)", text.lower(), re.ASCII)
        if not match:
            raise self.error(at, f"{text!r} is not a size such as 256m")
        return int(match[1]) * int(1024 ** " kmg".index(match[2] or " "))

    def _signal(self, name: str, at: Place) -> str:
        if name not in signal.Signals.__members__:
            raise self.error(at, f"{name!r} is not a signal such as SIGTERM")
        return name

    def _seconds(self, value: Any, at: Place) -> float:
        text = value if isinstance(value, str) else ""
        match = re.fullmatch(r"(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?", text)
        if not match or not any(match.groups()):
            raise self.error(at, f"{value!r} is not a duration such as 10s or 1m30s")
        minutes, seconds, millis = match.groups()
        return int(minutes or 0) * 60 + float(seconds or 0) + int(millis or 0) / 1000

    def _ports(self, items: list[Any], at: Place) -> tuple[Port, ...]:
        found = []
        for number, value in enumerate(items):
            with self.noting((*at, str(number))):
                found.append(self._port(str(value), (*at, str(number))))
        return tuple(found)

    def _port(self, text: str, at: Place) -> Port:
        match = re.fullmatch(r"127\.0\.0\.1:(\d*):(\d+)", text)
        if not match:
            raise self.error(
                at,
                f"{text!r}: publish on loopback only, as 127.0.0.1::8000 (any free port) "
                "or 127.0.0.1:8000:8000",
            )
        numbers = [int(number) for number in match.groups() if number]
        if not all(1 <= number <= 65535 for number in numbers):
            raise self.error(at, f"{text!r}: a port is a number from 1 to 65535")
        return Port(container=numbers[-1], host=int(match[1]) if match[1] else None)

    def _environment(self, body: Any, at: Place) -> dict[str, str]:
        found: dict[str, str] = {}
        if isinstance(body, list):
            for number, item in enumerate(body):
                place = (*at, str(number))
                with self.noting(place):
                    key, equals, value = self.source.text(item, place, "NAME=value").partition("=")
                    if not equals:
                        raise self.error(place, "give each variable a value: NAME=value")
                    found[self._variable(key, place)] = value
            return found
        for key, value in body.items():
            place = (*at, key)
            with self.noting(place):
                if value is None:
                    raise self.error(place, "the variable has no value")
                if isinstance(value, dict | list):
                    raise self.error(place, "the value of a variable is one text")
                if self.source.is_odd(place):
                    raise self.error(place, "write it in quotes: Compose rewrites such a value")
                text = str(value).lower() if isinstance(value, bool) else str(value)
                found[self._variable(key, place)] = text
        return found

    def _variable(self, name: str, at: Place) -> str:
        if not name or name != name.strip() or "=" in name:
            raise self.error(at, f"{name!r} is not the name of a variable")
        return name

    def _volumes(self, items: list[Any], named: tuple[str, ...], at: Place) -> tuple[Volume, ...]:
        found: dict[str, Volume] = {}
        for number, value in enumerate(items):
            place = (*at, str(number))
            with self.noting(place):
                volume = self._volume(str(value), named, place)
                if volume.target in found:
                    raise self.error(place, f"something is mounted at {volume.target} already")
                found[volume.target] = volume
        return tuple(found.values())

    def _volume(self, text: str, named: tuple[str, ...], at: Place) -> Volume:
        match = re.fullmatch(r"([^:]+):(/[^:]*)(?::(ro|rw))?", text)
        if not match:
            raise self.error(at, f"{text!r} is not source:target or source:target:ro")
        source, target = match[1], posixpath.normpath(match[2])
        read_only = match[3] == "ro"
        if source.startswith((".", "/", "~/")):
            place = (self.source.path.parent / Path(source).expanduser()).resolve()
            return Volume(str(place), target, named=False, read_only=read_only)
        if source not in named:
            raise self.error(at, f"the volume {source!r} is not declared under `volumes`")
        return Volume(source, target, named=True, read_only=read_only)

    def _depends_on(self, body: Any, at: Place) -> dict[str, str]:
        if isinstance(body, list):
            return dict.fromkeys(self._texts(body, at), "service_started")
        found: dict[str, str] = {}
        for name, options in body.items():
            with self.noting((*at, name)):
                stated = options if isinstance(options, dict) else {}
                if set(stated) != {"condition"} or stated["condition"] not in _CONDITIONS:
                    raise self.error(
                        (*at, name), f"needs `condition`: one of {', '.join(_CONDITIONS)}"
                    )
                found[name] = stated["condition"]
        return found

    def _probe(
        self, check: dict[str, Any], ports: tuple[Port, ...] | None, at: Place
    ) -> Probe | None:
        for key, value in check.items():
            with self.noting((*at, key)):
                if key not in _HEALTHCHECK_KEYS:
                    raise self._unsupported((*at, key), _HEALTHCHECK_KEYS)
                if key == "retries" and not (
                    type(value) in (int, str) and re.fullmatch(r"\d+", str(value))
                ):
                    raise self.error((*at, key), f"{value!r} is not a count")
                if key in ("interval", "timeout", "start_period"):
                    self._seconds(value, (*at, key))
        words = self._asking(check.get("test"), (*at, "test"))
        probe = _read_probe(words)
        if probe is None:
            raise self.error(
                (*at, "test"),
                "a readiness test is [CMD, curl, -fsS, http://127.0.0.1:PORT/PATH], "
                "[CMD, redis-cli, -p, PORT, ping] or [CMD, pg_isready, -h, 127.0.0.1, -p, PORT]",
            )
        if ports is not None and probe.port not in [p.container for p in ports]:
            raise self.error((*at, "test"), f"port {probe.port} is not published under `ports`")
        return probe

    def _asking(self, test: Any, at: Place) -> tuple[str, ...]:
        """The words of a readiness test; none where it is no command that Compose would run."""
        if isinstance(test, str):
            # A shell takes each line for a command of its own.
            several = "\n" in test.strip() or _is_for_a_shell(test)
            return () if several else self._words(test, at)
        words = self._words(test, at) if isinstance(test, list) else ()
        if words[:1] == ("CMD",):
            return words[1:]
        if words[:1] == ("CMD-SHELL",) and len(words) == 2:
            return self._asking(words[1], at)
        return ()

    def _check_relations(self, compose: ComposeFile, stated: tuple[str, ...]) -> None:
        fixed: set[int] = set()
        for service in compose.services.values():
            at = ("services", service.name)
            self._check_dependencies(compose, service, stated, (*at, "depends_on"))
            for port in service.ports:
                if port.host is None:
                    continue
                with self.noting((*at, "ports")):
                    if port.host in fixed or service.replicas > 1:
                        raise self.error((*at, "ports"), f"only one can have the port {port.host}")
                    fixed.add(port.host)
            with self.noting((*at, "ports")):
                if len({p.container for p in service.ports}) < len(service.ports):
                    raise self.error((*at, "ports"), "a port is published once")
            for key, value in service.environment.items():
                self._check_references(compose, value, (*at, "environment", key))
            for word in service.command:
                self._check_references(compose, word, (*at, "command"))

    def _check_dependencies(
        self, compose: ComposeFile, service: Service, stated: tuple[str, ...], at: Place
    ) -> None:
        for name, condition in service.depends_on.items():
            with self.noting((*at, name)):
                if name not in stated:
                    raise self.error(at, f"there is no service {name!r}")
                if name not in compose.services:
                    continue  # what is wrong with it is told already
                needed = compose.services[name]
                if needed.is_job and not service.is_job:
                    raise self.error((*at, name), "a job is started by hand: nothing waits for it")
                if condition == "service_completed_successfully" and needed.ports:
                    raise self.error((*at, name), "a service with ports never ends")
                if condition == "service_healthy" and not needed.has_healthcheck:
                    raise self.error((*at, name), f"{name} needs a `healthcheck`")

    def _check_references(self, compose: ComposeFile, text: str, at: Place) -> None:
        for name, port in compose.references(text):
            with self.noting(at):
                needed = compose.services[name]
                known = [p.container for p in needed.ports]
                if port not in known:
                    raise self.error(at, f"{name} does not publish port {port}, only {known}")
                if needed.is_job:
                    raise self.error(at, f"{name} is a job: nothing can rely on its being there")
                if needed.replicas > 1:
                    raise self.error(at, f"{name} has several replicas: call it through a proxy")

    def _unsupported(self, where: Place, known: tuple[str, ...]) -> ComposeError:
        text = f"the key {where[-1]!r} is not supported on every runtime"
        return self.error(where, text, f"Supported here: {', '.join(known)}.")

    def _ignored(self, where: Place) -> ComposeError:
        return self.error(where, f"Compose ignores the key {where[-1]!r}: take the line out")


_LIMITS: Mapping[str, Callable[[_Reader, Any, Place], int]] = {
    "cpus": _Reader._cpus,
    "memory": _Reader._memory,
}
# What asks the very service, and nothing else of it than a runtime's own probe does.
_HERE = r"(?:127\.0\.0\.1|localhost)"
# Of words that end with a zero byte, which no word holds: one with a blank in it is one word.
_CURL = re.compile(
    r"curl\0(?:-[sS]*f[sS]*\0|--fail\0|-[sS]+\0|--silent\0|--show-error\0)+"
    rf"http://{_HERE}:(\d+)(/[\w./?=%+,:@~-]*)\0",
    re.ASCII,
)
_REDIS = re.compile(rf"redis-cli\0(?:-h\0{_HERE}\0|-p\0(\d+)\0)*(?i:ping)\0", re.ASCII)
# A database's name may be a whole address, which would say another host: not here.
_POSTGRES = re.compile(
    rf"pg_isready\0(?:-h\0{_HERE}\0|-p\0(\d+)\0|-U\0[\w-]+\0|-d\0[\w-]+\0|-q\0)*", re.ASCII
)


def _is_for_a_shell(text: str) -> bool:
    """Whether Compose, which cuts a text into words itself, would drop what a shell needs."""
    return bool(re.search(r"[|;&<>()`\\]", re.sub(r"'[^']*'|\"[^\"\\]*\"", "", text)))


def _read_probe(words: tuple[str, ...]) -> Probe | None:
    """The probe that asks what these words ask; None where it would ask something else."""
    line = "".join(f"{word}\0" for word in words)
    if found := _CURL.fullmatch(line):
        fails = any(re.fullmatch(r"-[sS]*f[sS]*|--fail", word) for word in words)
        return Probe("http", int(found[1]), found[2]) if fails else None
    if found := _REDIS.fullmatch(line):
        return Probe("redis", int(found[1] or 6379))
    found = _POSTGRES.fullmatch(line)
    if found and "-h" in words:  # without it, a socket of the container's own is asked
        return Probe("postgres", int(found[1] or 5432))
    return None


def _refuse_cycles(compose: ComposeFile, source: Source) -> None:
    settled: set[str] = set()
    while len(settled) < len(compose.services):
        free = [
            s.name
            for s in compose.services.values()
            if s.name not in settled and set(s.depends_on) <= settled
        ]
        if not free:
            stuck = sorted(set(compose.services) - settled)
            at = ("services", stuck[0], "depends_on")
            raise source.error(at, f"a circle: {', '.join(stuck)}")
        settled.update(free)
