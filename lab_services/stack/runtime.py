"""What both runtimes share: order of start, readiness, scaling, rolling out.

A runtime is a handful of primitives (launch, stop, signal …); everything a stack promises is
written once, here, on top of them, so that containers and plain processes behave alike.
"""

import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from lab_services.errors import LabError
from lab_services.stack import envoy
from lab_services.stack.compose import ComposeFile, Service
from lab_services.stack.messages import Emit, JobResult, Progress, Replica, ServiceReady, Usage
from lab_services.stack.readiness import READY_TIMEOUT, answers

_POLL = 0.02  # seconds between two questions to a service that is not ready yet

# Calls a function where whoever gave an order goes, or has gone, before the end of a block.
WhenGone = Callable[[Callable[[], None]], AbstractContextManager[None]]


class ServiceFailed(LabError):
    """A service ended, or never answered, before it was ready."""


class RuntimeUnavailable(LabError):
    """The runtime that was asked for cannot be used here."""


class PortTaken(LabError):
    """A fixed port of the Compose file belongs to another program."""


class Cancelled(LabError):
    """The stack was taken down while it was coming up."""


class Runtime(ABC):
    """One stack on one runtime. Verbs are called from several threads."""

    name: ClassVar[str]

    def __init__(self, compose: ComposeFile, ident: str, folder: Path) -> None:
        self.services: dict[str, Service] = dict(compose.services)
        self.compose = compose
        self.ident = ident
        self.folder = folder
        self.closing = threading.Event()
        self._stating = threading.RLock()  # held while an entry of `services` is made of its former
        self._settling: defaultdict[tuple[str, int], threading.Lock] = defaultdict(threading.Lock)
        self.failures: list[str] = []  # of what looks after the stack; it can be relied on no more
        self._watches: list[threading.Thread] = []
        self._answered: set[tuple[str, int, str]] = set()
        # By service: what the proxies in front of it were told of delays and errors.
        self._proxy_settings: dict[str, dict[str, int]] = {}

    # --- primitives -------------------------------------------------------------------------

    @abstractmethod
    def prepare(self, emit: Emit) -> None:
        """Make what must exist before the first service: image, addresses, folders."""

    @abstractmethod
    def launch(self, counts: Mapping[str, int]) -> None:
        """Start replicas 1..count of each service that are not there yet."""

    @abstractmethod
    def replicas(self, service: str | None = None) -> list[Replica]:
        """What runs now, asked of the system; `ready` is this class's business: never set here."""

    @abstractmethod
    def endpoint(self, caller: str, replica: Replica, container_port: int) -> str | None:
        """`address:port` under which another service of the stack reaches a replica.

        None while nothing passes between the two.
        """

    @abstractmethod
    def signal(self, replica: Replica, signal_name: str) -> None:
        """Send a signal such as SIGKILL."""

    @abstractmethod
    def pause(self, replica: Replica) -> None:
        """Stop it without ending it."""

    @abstractmethod
    def resume(self, replica: Replica) -> None:
        """Let it go on."""

    @abstractmethod
    def stop(self, replica: Replica) -> None:
        """The stop signal, the grace period, then SIGKILL; returns when it has ended."""

    @abstractmethod
    def discard(self, replica: Replica) -> None:
        """Forget an ended replica, so that `launch` makes a new one in its place."""

    @abstractmethod
    def logs(self, service: str, number: int | None, lines: int) -> str:
        """The last lines that a service wrote."""

    @abstractmethod
    def usage(self) -> list[Usage]:
        """Processor seconds and memory of every replica that runs."""

    @abstractmethod
    def run_job(self, service: Service, when_gone: WhenGone) -> JobResult:
        """Run a job of the Compose file to its end; it is killed when who asked for it goes."""

    @abstractmethod
    def remove(self) -> None:
        """End and remove everything, also what a concurrent `up` is still making. Idempotent."""

    # --- shared ------------------------------------------------------------------------------

    def up(self, emit: Emit) -> None:
        """Start every service that is not a job, in the order of `depends_on`; wait for answers.

        Raises ServiceFailed with the exit code and the last log lines, Cancelled after `remove`.
        """
        self._check_mounts()
        self.prepare(emit)
        waiting = {name: s for name, s in self.services.items() if not s.is_job}
        ready: set[str] = set()
        launched: set[str] = set()
        deadline = time.monotonic() + READY_TIMEOUT
        while not ready >= set(waiting):
            self._check_open()
            free = [
                s
                for s in waiting.values()
                if s.name not in launched
                and all(
                    (name in launched) if condition == "service_started" else (name in ready)
                    for name, condition in s.depends_on.items()
                )
            ]
            if free:
                self.launch({s.name: s.replicas for s in free})
                launched.update(s.name for s in free)
                for s in free:
                    emit(Progress(f"{s.name}: starting"))
            for name in self._newly_ready(launched - ready):
                ready.add(name)
                emit(ServiceReady(name))
            if time.monotonic() > deadline:
                late = ", ".join(sorted(set(waiting) - ready))
                raise ServiceFailed(
                    f"{late}: no answer after {READY_TIMEOUT:.0f} s.",
                    "\n".join(self._tail(n) for n in sorted(launched - ready)),
                )
            if not ready >= set(waiting):
                self.closing.wait(_POLL)
        for service in waiting.values():
            self._wait_for_proxies(service.name)

    def _watch(self, what: str, look: Callable[[], None], interval: float) -> None:
        """Call `look` again and again while the stack is there; an error in it is told to all."""

        def watch() -> None:
            try:
                while not self.closing.wait(interval):
                    look()
            except Exception as error:  # noqa: BLE001 - whatever it is, every order says so
                traceback.print_exc()
                self.failures.append(f"{what} is not seen to any more: {error!r}")

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        self._watches.append(thread)  # begun first: whoever ends the stack this moment joins it

    def _check_mounts(self) -> None:
        for service in self.services.values():
            for volume in service.volumes:
                if not volume.named and not Path(volume.source).exists():
                    raise LabError(
                        f"{service.name} mounts {volume.source}, which is not there.",
                        "For the models: run `lab models`.",
                    )

    def states(self) -> list[Replica]:
        """Every replica with its state; one that has answered its probe once is ready."""
        return [
            replace(r, state="ready") if r.state == "starting" and self._has_answered(r) else r
            for r in self.replicas()
        ]

    def replica(self, service: str, number: int) -> Replica:
        """That replica. Raises LabError naming those there are."""
        self.compose.service(service)
        found = self.replicas(service)
        for candidate in found:
            if candidate.number == number:
                return candidate
        known = ", ".join(str(r.number) for r in found) or "none"
        raise LabError(f"{service} has no replica {number}.", f"There are: {known}.")

    def address(self, service: str, container_port: int | None, number: int = 1) -> str:
        """`127.0.0.1:port` of a published port; the service's first one by default."""
        ports = [p.container for p in self.compose.service(service).ports]
        port = container_port or (ports[0] if ports else None)
        if port not in ports:
            raise LabError(f"{service} publishes no port {port}.", f"It publishes: {ports}.")
        replica = self.replica(service, number)
        if port not in replica.ports:
            raise LabError(f"{service} {number} does not run.", "Start it: stack.start(…).")
        return f"127.0.0.1:{replica.ports[port]}"

    def wait_ready(self, service: str, numbers: set[int]) -> None:
        """Wait until these replicas have answered. Raises ServiceFailed."""
        deadline = time.monotonic() + READY_TIMEOUT
        while True:
            self._check_open()
            found = [r for r in self.replicas(service) if r.number in numbers]
            if len(found) == len(numbers) and all(self._ask(r) for r in found):
                return
            if time.monotonic() > deadline:
                raise ServiceFailed(
                    f"{service}: no answer after {READY_TIMEOUT:.0f} s.", self._tail(service)
                )
            self.closing.wait(_POLL)

    def settling(self, service: str, number: int) -> threading.Lock:
        """Held while a replica is killed, paused or resumed.

        An engine takes its time for each: the order after it must not find the state before.
        """
        return self._settling[service, number]

    def start(self, service: str, number: int) -> None:
        """Start an ended replica again and wait for its answer."""
        with self.settling(service, number):
            replica = self.replica(service, number)
        if replica.state != "exited":
            raise LabError(f"{service} {number} is running ({replica.state}).")
        self._relaunch(replica)

    def scale(self, service: str, count: int) -> None:
        """Have `count` replicas; returns when the new ones answer and every proxy knows them.

        A killed one counts and stays dead: `start` is for that.
        """
        if any(p.host for p in self.compose.service(service).ports) and count > 1:
            raise LabError(f"{service} has a fixed port: it cannot have replicas.")
        callers = self.compose.callers(service)
        if callers and count > 1:
            raise LabError(
                f"{', '.join(callers)} calls {service} by its name and would not see the others.",
                "Put a proxy in front of it.",
            )
        surplus = [r for r in self.replicas(service) if r.number > count]
        with ThreadPoolExecutor(max_workers=max(1, len(surplus))) as pool:
            list(pool.map(self._stop_and_discard, surplus))
        self._state_anew(service, replicas=count)
        dead = {r.number for r in self.replicas(service) if r.state == "exited"}
        self.launch({service: count})
        self.wait_ready(service, set(range(1, count + 1)) - dead)
        self._wait_for_proxies(service)
        self._set_again(service)

    def rollout(self, service: str, environment: Mapping[str, str]) -> None:
        """Replace the replicas one after another: drain, stop, start with the new environment."""
        with self._stating:
            former = self.services[self.compose.service(service).name].environment
            current = self._state_anew(service, environment={**former, **environment})
        for number in range(1, current.replicas + 1):
            self._check_open()
            replica = self.replica(service, number)
            if replica.state != "exited":
                self.stop(replica)
            self._relaunch(self.replica(service, number))

    def set_proxies(self, service: str, values: Mapping[str, int]) -> None:
        """Tell every proxy in front of a service, `values` as `envoy.set_fault` has them.

        Raises LabError where there is none, or none that runs.
        """
        self.compose.service(service)
        addresses = {
            name: [
                self.address(name, proxy.admin, replica.number)
                for replica in self.replicas(name)
                if replica.state != "exited"
            ]
            for name, proxy in envoy.proxies_of(self.compose, service).items()
        }
        envoy.set_fault(self.compose, service, addresses, values)
        self._proxy_settings.setdefault(service, {}).update(values)

    def _set_again(self, proxy: str) -> None:
        """A proxy that was started anew knows of no delay or error that still lasts."""
        if all(replica.state == "exited" for replica in self.replicas(proxy)):
            return
        for service, values in list(self._proxy_settings.items()):
            if proxy in envoy.proxies_of(self.compose, service):
                self.set_proxies(service, values)

    def _state_anew(self, service: str, **what: Any) -> Service:
        with self._stating:
            self.services[service] = replace(self.services[service], **what)
            return self.services[service]

    def _stop_and_discard(self, replica: Replica) -> None:
        self.stop(replica)
        self.discard(replica)

    def _relaunch(self, replica: Replica) -> None:
        self.discard(replica)
        self.launch({replica.service: self.services[replica.service].replicas})
        self.wait_ready(replica.service, {replica.number})
        self._wait_for_proxies(replica.service)
        self._set_again(replica.service)

    def _wait_for_proxies(self, service: str) -> None:
        """Wait until every proxy sends requests to the replicas that run, and to no others."""
        lag = 0.0
        for name, proxy in envoy.proxies_of(self.compose, service).items():
            for replica in self.replicas(name):
                if replica.state == "starting":  # one that is down or paused learns it when back
                    self._wait_for_proxy(service, replica, proxy)
                    lag = max(lag, proxy.lag)
        self.closing.wait(lag)
        self._check_open()

    def _wait_for_proxy(self, service: str, replica: Replica, proxy: envoy.Proxy) -> None:
        admin = self.address(replica.service, proxy.admin, replica.number)
        deadline = time.monotonic() + READY_TIMEOUT
        while True:
            live = [r for r in self.replicas(service) if r.state != "exited"]
            allowed = {self.endpoint(replica.service, r, proxy.port) for r in live}
            if None in allowed:
                return  # it learns of them when it reaches them again
            # A paused replica may fail a health check or not be subject to one.
            needed = {
                self.endpoint(replica.service, r, proxy.port) for r in live if r.state != "paused"
            }
            try:
                known = envoy.healthy_hosts(admin, proxy.clusters)
            except envoy.NoAnswer:
                known = []  # on busy processors it may come later
            # A cluster that has not heard of its endpoints yet is not listed at all.
            if len(known) == len(proxy.clusters) and all(
                needed <= hosts <= allowed for hosts in known
            ):
                return
            self._check_open()
            if time.monotonic() > deadline:
                raise ServiceFailed(
                    f"{replica.service} does not send to every replica of {service}."
                )
            self.closing.wait(_POLL)

    def _newly_ready(self, names: set[str]) -> list[str]:
        found = [r for r in self.replicas() if r.service in names]
        if not found:
            return []
        with ThreadPoolExecutor(max_workers=len(found)) as pool:
            verdicts = list(pool.map(self._ask, found))
        ready = []
        for name in names:
            own = [v for r, v in zip(found, verdicts, strict=True) if r.service == name]
            if len(own) == self.services[name].replicas and all(own):
                ready.append(name)
        return ready

    def _ask(self, replica: Replica) -> bool:
        service = self.services[replica.service]
        if replica.state == "exited":
            if replica.exit_code == 0 and not service.ports:
                return True  # a one-shot service that others wait for
            if self.closing.is_set():
                raise Cancelled("The stack was taken down while it was coming up.")
            raise ServiceFailed(
                f"{replica.service} ended with exit code {replica.exit_code} before it was ready.",
                self._tail(replica.service, replica.number),
            )
        if self._has_answered(replica):
            return True
        if service.probe is None:
            ends = any(
                other.depends_on.get(service.name) == "service_completed_successfully"
                for other in self.services.values()
            )
            if ends:
                return False
            self._answered.add((replica.service, replica.number, replica.ident))
            return True
        port = replica.ports.get(service.probe.port)
        if port is None or not answers(service.probe, port):
            return False
        self._answered.add((replica.service, replica.number, replica.ident))
        return True

    def _has_answered(self, replica: Replica) -> bool:
        return (replica.service, replica.number, replica.ident) in self._answered

    def _tail(self, service: str, number: int | None = None) -> str:
        text = self.logs(service, number, 20).strip() or "(it wrote nothing)"
        return f"Its last lines:\n{text}"

    def _check_open(self) -> None:
        if self.closing.is_set():
            raise Cancelled("The stack was taken down.")
