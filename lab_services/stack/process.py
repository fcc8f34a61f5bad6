"""The process runtime: every service a plain process on a free port of loopback.

What a container gets from Docker is rewritten here: `PORT` and `--port`, `0.0.0.0`,
`service:port` in the environment, the targets of bind mounts, the endpoints of Envoy's clusters.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import psutil
import yaml

from lab_services.errors import LabError
from lab_services.stack import envoy, servers
from lab_services.stack.compose import ComposeFile, Service
from lab_services.stack.messages import Emit, JobResult, Replica, Usage
from lab_services.stack.ports import HOLDS, check_fixed, hold
from lab_services.stack.relay import Relays
from lab_services.stack.runtime import Cancelled, Runtime, WhenGone
from lab_services.stack.throttle import INTERVAL, Throttle
from lab_services.stack.zygote_client import Child, ZygoteClient

_DNS_INTERVAL = 0.05  # seconds between two looks at what is due
_PATIENCE = 5.0  # seconds for a thread, or for a process that is killed, to end
_MEMORY_INTERVAL = 0.5  # seconds between two looks at services with a memory limit
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE")


class ProcessRuntime(Runtime):
    """One stack as plain processes."""

    name: ClassVar[str] = "process"

    def __init__(
        self, compose: ComposeFile, ident: str, folder: Path, children: ZygoteClient
    ) -> None:
        super().__init__(compose, ident, folder)
        self._spawner = children
        self._children: dict[tuple[str, int], Child] = {}
        self._paused: set[tuple[str, int]] = set()
        self._cores: dict[tuple[str, int], list[int]] = {}
        self._ports: dict[tuple[str, int], dict[int, int]] = {}
        self._held: list[socket.socket] = []
        self._lock = threading.RLock()
        self._relays = Relays() if compose.partitions else None
        self._separated: set[frozenset[str]] = set()  # the pairs that are cut off now
        self._cpu_limits: dict[str, float] = {}  # cores a replica, by service
        self._throttles: dict[tuple[str, int], Throttle] = {}
        self._throttling = False

    # --- start --------------------------------------------------------------------------------

    def prepare(self, emit: Emit) -> None:
        """Find every binary and port before anything starts."""
        for service in self.services.values():
            servers.binary(servers.server(service.command))
            check_fixed(service)
            _check_told(service)
            if not service.is_job:
                for number in range(1, service.replicas + 1):
                    self._assign_ports(service, number)
            for volume in service.volumes:
                if volume.named:
                    self._volume(volume.source).mkdir(parents=True, exist_ok=True)
        clusters = self._clusters()
        for proxy, cluster in clusters:
            envoy.write_endpoints(self._envoy_folder(proxy), cluster, [])
        if clusters:
            self._watch("where the proxies find the replicas", self._dns(clusters), _DNS_INTERVAL)
        if any(s.memory for s in self.services.values()):
            self._watch("the limit of memory", self._look_at_memory, _MEMORY_INTERVAL)

    def launch(self, counts: Mapping[str, int]) -> None:
        """Start what is not there yet."""
        # The zygote imports while other servers start, so those that are not Python go first.
        for name in sorted(counts, key=lambda n: self.services[n].command[0] == "python"):
            for number in range(1, counts[name] + 1):
                with self._lock:
                    if (name, number) not in self._children:
                        self._children[name, number] = self._spawn(self.services[name], number)

    def _spawn(self, service: Service, number: int) -> Child:
        if self.closing.is_set():
            raise Cancelled("The stack was taken down while it was coming up.")
        self._assign_ports(service, number)
        self._assign_cores(service, number)
        work = self._work_folder(service.name, number)
        if envoy.is_envoy(service):
            self._write_envoy(service, number)
        log = self._log(service.name, number)
        log.touch(mode=0o600)  # a process that is killed at once has not made it
        program, *rest = service.command
        argv = [
            servers.binary(program),
            *self._rewrite_command(service, number, rest),
            *servers.arguments(service.command),
        ]
        return self._spawner.start(
            argv,
            self._environment(service, number, work),
            work,
            log,
            self._cores[service.name, number],
        )

    def _assign_ports(self, service: Service, number: int) -> None:
        key = (service.name, number)
        with self._lock:
            if key in self._ports:
                return
            taken = self._taken()
            chosen: dict[int, int] = {}
            for port in service.ports:
                chosen[port.container] = port.host or self._hold(taken | set(chosen.values()))
            self._ports[key] = chosen

    def _taken(self) -> set[int]:
        with self._lock:
            return {port for ports in self._ports.values() for port in ports.values()}

    def _hold(self, taken: set[int]) -> int:
        held = hold(taken)
        port = int(held.getsockname()[1])
        if HOLDS:
            self._held.append(held)  # for good: a killed replica comes back to its port
        else:
            held.close()
        return port

    def _assign_cores(self, service: Service, number: int) -> None:
        """The cores that the fewest others of the stack are held to."""
        key = (service.name, number)
        if key in self._cores:
            return
        usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        held = [core for other in self._children for core in self._cores[other]]
        usable.sort(key=held.count)
        self._cores[key] = usable[: service.cpus] if service.cpus else []

    # --- rewriting ----------------------------------------------------------------------------

    def _environment(self, service: Service, number: int, work: Path) -> dict[str, str]:
        passed = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        stated = {
            key: self._rewrite_value(service, value) for key, value in service.environment.items()
        }
        own = self._ports[service.name, number]
        if stated.get("PORT", "").isdigit():
            stated["PORT"] = str(own.get(int(stated["PORT"]), stated["PORT"]))
        if stated.get("HOST") == "0.0.0.0":
            stated["HOST"] = "127.0.0.1"
        return {
            **passed,
            "HOME": str(work),
            "TMPDIR": str(work),
            "PYTHONUNBUFFERED": "1",
            **stated,
        }

    def _rewrite_value(self, service: Service, text: str) -> str:
        for name, port in self.compose.references(text):
            published = self._reached(service.name, name, self._ports[name, 1][port])
            address = f"127.0.0.1:{published}"
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}:{port}\b", address, text)
        return self._outside(service, text)

    def _reached(self, caller: str, callee: str, port: int) -> int:
        """The port under which a service reaches the published port of another."""
        pair = frozenset({caller, callee})
        if self._relays is None or pair not in self.compose.partitions:
            return port
        taken = self._taken()
        return self._relays.port(pair, port, lambda: hold(taken))

    def _rewrite_command(self, service: Service, number: int, words: list[str]) -> list[str]:
        own = self._ports[service.name, number]
        result = []
        for index, word in enumerate(words):
            before = words[index - 1] if index else ""
            if before in ("--port", "-p") and word.isdigit():
                word = str(own.get(int(word), word))
            elif match := re.fullmatch(r"(--port=)(\d+)", word):
                word = match[1] + str(own.get(int(match[2]), match[2]))
            elif match := re.fullmatch(r"(.*?)0\.0\.0\.0(?::(\d+))?", word):
                port = match[2] and f":{own.get(int(match[2]), match[2])}"
                word = f"{match[1]}127.0.0.1{port or ''}"
            elif envoy.is_envoy(service) and before == "-c":
                word = str(self._envoy_config(service.name, number))
            result.append(self._rewrite_value(service, word))
        return result

    def _outside(self, service: Service, text: str) -> str:
        """Paths inside the container become those that are mounted there."""
        places = {
            volume.target: str(self._volume(volume.source)) if volume.named else volume.source
            for volume in service.volumes
        }
        if not places:
            return text
        targets = "|".join(re.escape(t) for t in sorted(places, key=len, reverse=True))
        return re.sub(rf"(?<![\w.-])({targets})(?![\w.-])", lambda found: places[found[1]], text)

    def _volume(self, name: str) -> Path:
        return self.folder / "volumes" / name

    # --- Envoy ----------------------------------------------------------------------------------

    def _envoy_folder(self, name: str) -> Path:
        folder = self.folder / "envoy" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _envoy_config(self, name: str, number: int) -> Path:
        return self._envoy_folder(name) / f"envoy-{number}.yaml"

    def _write_envoy(self, service: Service, number: int) -> None:
        config = envoy.for_processes(
            envoy.read_config(service),
            self.compose,
            self._ports[service.name, number],
            self._envoy_folder(service.name),
        )
        text = yaml.safe_dump(config)
        self._envoy_config(service.name, number).write_text(text)

    def _live_ports(self, proxy: str, cluster: envoy.Cluster) -> list[int]:
        with self._lock:
            return [
                self._reached(proxy, name, ports[cluster.port])
                for (name, number), ports in sorted(self._ports.items())
                if name == cluster.service
                and (child := self._children.get((name, number))) is not None
                and not child.ended.is_set()
            ]

    def _clusters(self) -> list[tuple[str, envoy.Cluster]]:
        return [
            (name, cluster)
            for name, service in self.services.items()
            if envoy.is_envoy(service)
            for cluster in envoy.clusters(envoy.read_config(service), self.compose)
        ]

    def _dns(self, clusters: list[tuple[str, envoy.Cluster]]) -> Callable[[], None]:
        """Rewrites the endpoint files as often as each cluster would ask the DNS."""
        known: dict[tuple[str, str], list[int]] = {}
        complete: set[tuple[str, str]] = set()
        due = {(proxy, cluster.name): 0.0 for proxy, cluster in clusters}

        def look() -> None:
            for proxy, cluster in clusters:
                key = (proxy, cluster.name)
                if time.monotonic() < due[key]:
                    continue
                ports = self._live_ports(proxy, cluster)
                if ports != known.get(key):
                    envoy.write_endpoints(self._envoy_folder(proxy), cluster, ports)
                    known[key] = ports
                # The replicas of a name start one after another here, in Docker at once: until all
                # have been there, the name is asked for again soon.
                if len(ports) >= self.services[cluster.service].replicas:
                    complete.add(key)
                due[key] = time.monotonic() + (cluster.refresh if key in complete else 0.02)

        return look

    # --- look and act -------------------------------------------------------------------------

    def replicas(self, service: str | None = None) -> list[Replica]:
        """What runs now."""
        with self._lock:
            return [
                Replica(
                    service=name,
                    number=number,
                    state=self._state(name, number, child),
                    ports=self._ports[name, number],
                    exit_code=child.exit_code,
                    ident=str(child.pid),
                )
                for (name, number), child in sorted(self._children.items())
                if service in (None, name)
            ]

    def _state(self, name: str, number: int, child: Child) -> str:
        if child.ended.is_set():
            return "exited"
        return "paused" if (name, number) in self._paused else "starting"

    def endpoint(self, caller: str, replica: Replica, container_port: int) -> str | None:
        """The published port, since plain processes share the loopback, or that of a relay."""
        if frozenset({caller, replica.service}) in self._separated:
            return None
        return f"127.0.0.1:{self._reached(caller, replica.service, replica.ports[container_port])}"

    def _child(self, replica: Replica) -> Child:
        return self._children[replica.service, replica.number]

    def signal(self, replica: Replica, signal_name: str) -> None:
        """Send a signal; SIGKILL returns when the process has ended.

        Raises LabError where it has not within some seconds.
        """
        child = self._child(replica)
        child.signal(signal.Signals[signal_name])
        if signal_name == "SIGKILL":
            ended = child.ended.wait(_PATIENCE)
            self._paused.discard((replica.service, replica.number))
            if not ended:
                raise LabError(
                    f"{replica.service} {replica.number} (process {child.pid}) has not ended "
                    f"within {_PATIENCE:.0f} s of its SIGKILL.",
                    "The machine may be too busy, or a disk may hang: look again with `lab ps`.",
                )

    def pause(self, replica: Replica) -> None:
        """SIGSTOP."""
        with self._lock:
            self._child(replica).signal(signal.SIGSTOP)
            self._paused.add((replica.service, replica.number))

    def resume(self, replica: Replica) -> None:
        """SIGCONT."""
        with self._lock:
            self._child(replica).signal(signal.SIGCONT)
            self._paused.discard((replica.service, replica.number))

    def separate(self, pair: frozenset[str], *, cut: bool) -> None:
        """Have the relays of a pair of services let nothing pass, or let it pass again."""
        with self._lock:
            self._separated = self._separated | {pair} if cut else self._separated - {pair}
            if self._relays is not None:
                self._relays.cut(self._separated)

    def hold_to_cores(self, service: str, cores: float | None) -> None:
        """Hold each replica by a thread that stops and continues it; see `Throttle`.

        With None it has as many cores as before.
        """
        self.compose.service(service)
        with self._lock:
            if cores is None:
                self._cpu_limits.pop(service, None)
            else:
                self._cpu_limits[service] = cores
            if not self._throttling:
                self._throttling = True
                self._watch("the limit of the processor", self._throttle, INTERVAL)

    def _throttle(self) -> None:
        if self._cpu_limits or self._throttles:
            with self._lock:
                for key, child in self._children.items():
                    throttle = self._throttles.get(key)
                    if throttle is not None and throttle.child is not child:
                        throttle = None  # a new process in the place of one that has ended
                    cores = self._cpu_limits.get(key[0])
                    if cores is not None:
                        throttle = throttle or Throttle(child)
                        self._throttles[key] = throttle
                        throttle.look(cores, key in self._paused)
                    elif self._throttles.pop(key, None) is not None and throttle is not None:
                        throttle.release(key in self._paused)

    def stop(self, replica: Replica) -> None:
        """The stop signal, then SIGKILL after the grace period."""
        service, child = self.services[replica.service], self._child(replica)
        child.signal(signal.Signals[service.stop_signal])
        child.signal(signal.SIGCONT)  # a paused process would not see the stop signal
        if not child.ended.wait(service.stop_grace):
            self.signal(replica, "SIGKILL")
        self._paused.discard((replica.service, replica.number))

    def discard(self, replica: Replica) -> None:
        """Forget an ended replica, its files and its log; the next one has the same ports."""
        with self._lock:
            child = self._children.get((replica.service, replica.number))
            if child is None or str(child.pid) != replica.ident:
                return  # another thread was first, and what is there now is a new one
            del self._children[replica.service, replica.number]
            shutil.rmtree(self._work_folder(replica.service, replica.number))
            self._log(replica.service, replica.number).unlink(missing_ok=True)

    def logs(self, service: str, number: int | None, lines: int) -> str:
        """The last lines of one replica, or of all."""
        self.compose.service(service)
        with self._lock:
            there = sorted(n for name, n in self._ports if name == service)
        numbers = [number] if number else there
        texts = []
        for each in numbers:
            log = self._log(service, each)
            tail = log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else []
            mark = f"{service}-{each} | " if len(numbers) > 1 else ""
            texts += [mark + line for line in tail]
        return "\n".join(texts)

    def usage(self) -> list[Usage]:
        """Of each replica and its child processes; shared pages counted once where that is told."""
        return self._measure([r for r in self.replicas() if r.state != "exited"])

    def _measure(self, replicas: list[Replica]) -> list[Usage]:
        found = []
        for replica in replicas:
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended this very moment
                leader = psutil.Process(int(replica.ident))
                family = [leader, *leader.children(recursive=True)]
                times = [process.cpu_times() for process in family]
                found.append(
                    Usage(
                        replica.service,
                        replica.number,
                        # With those of processes that have ended, as a container counts.
                        sum(t.user + t.system + t.children_user + t.children_system for t in times),
                        sum(_memory(process) for process in family),
                        time.time(),
                    )
                )
        return found

    def run_job(self, service: Service, when_gone: WhenGone) -> JobResult:
        """Run a job to its end."""
        begin = time.monotonic()
        with self._lock:
            number = max((n for name, n in self._children if name == service.name), default=0) + 1
            child = self._children[service.name, number] = self._spawn(service, number)
        with when_gone(lambda: child.signal(signal.SIGKILL)):
            child.ended.wait()  # the zygote tells of the end of each, and its own ends all
        if self.closing.is_set():
            raise Cancelled(f"{service.name} was ended with its stack.")
        output = self._log(service.name, number).read_text(errors="replace")
        self.discard(self.replica(service.name, number))
        assert child.exit_code is not None
        return JobResult(child.exit_code, output, time.monotonic() - begin)

    def remove(self) -> None:
        """Kill everything at once."""
        self.closing.set()
        with self._lock:  # a launch in progress ends first, the next one sees `closing`
            children = list(self._children.values())
        for child in children:
            child.signal(signal.SIGKILL)
        for child in children:
            child.ended.wait(_PATIENCE)
        for held in self._held:
            held.close()
        for watch in self._watches:
            watch.join(_PATIENCE)  # else it could write into the folder once more
        if self._relays is not None:
            self._relays.close()  # when no watch asks them any more

    def _look_at_memory(self) -> None:
        with self._lock:
            running = [(r, self._child(r)) for r in self.replicas() if r.state != "exited"]
        for replica, child in running:
            limit = self.services[replica.service].memory
            if limit:
                for usage in self._measure([replica]):
                    if usage.memory > limit:
                        self._kill_for(
                            f"{usage.memory} bytes, its limit is {limit}", replica, child
                        )

    def _kill_for(self, reason: str, replica: Replica, child: Child) -> None:
        """Kill that process, and never the one that has taken its place meanwhile."""
        key = (replica.service, replica.number)
        with self._lock:
            if self._children.get(key) is not child or child.ended.is_set():
                return
            with self._log(*key).open("a") as log:
                log.write(f"killed: {reason}\n")
            child.signal(signal.SIGKILL)
            self._paused.discard(key)

    def _work_folder(self, name: str, number: int) -> Path:
        folder = self.folder / "work" / f"{name}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _log(self, name: str, number: int) -> Path:
        folder = self.folder / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}-{number}.log"


def _check_told(service: Service) -> None:
    """Raises LabError for a port that the service cannot be told to replace by another."""
    told = {service.environment.get("PORT")}
    for before, word in zip(("", *service.command), service.command, strict=False):
        match = re.fullmatch(r"(?:--port=|.*?0\.0\.0\.0:)(\d+)", word)
        told.add(match[1] if match else word if before in ("--port", "-p") else None)
    for port in service.ports:
        if str(port.container) not in told and not envoy.is_envoy(service):
            raise LabError(
                f"{service.name} is not told its port {port.container}: as a plain process, "
                "which shares the machine with others, it could take no other.",
                f"Write --port {port.container} or 0.0.0.0:{port.container} into its command, "
                "or set the variable PORT.",
            )


def _memory(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.AccessDenied:  # of a program with other rights; what it shares counts in full
        return int(process.memory_info().rss)
    return int(getattr(full, "pss", 0) or full.rss)
