"""What a supervisor does on request: start and end stacks, cause faults, tell their state."""

import contextlib
import os
import secrets
import shutil
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import psutil

from lab_services.errors import LabError
from lab_services.stack import compose, envoy, state
from lab_services.stack.fault import Fault
from lab_services.stack.process import ProcessRuntime
from lab_services.stack.runtime import Emit, Runtime
from lab_services.stack.zygote_client import ZygoteClient

_PATIENCE = 3.0  # seconds for an `up` to notice that its stack has been taken down


class Caller:
    """Who asked for a command: is told of its progress, and may go before its end."""

    def __init__(self, connection: socket.socket, tell: Callable[[dict[str, Any]], None]) -> None:
        self._connection = connection
        self._tell = tell

    def __call__(self, text: str) -> None:
        self._tell({"progress": text})

    @contextlib.contextmanager
    def when_gone(self, act: Callable[[], None]) -> Iterator[None]:
        """Call `act` when the caller goes before the end of the block."""
        done = threading.Event()

        def watch() -> None:
            with contextlib.suppress(OSError):
                self._connection.recv(1)  # a caller sends one line: this is the end of it
            if not done.is_set():
                act()

        threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            done.set()
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RD)  # wakes the thread


@dataclass
class StackRecord:
    """One stack and what was done to it."""

    ident: str
    lab: str
    runtime: Runtime
    up_finished: threading.Event = field(
        default_factory=threading.Event
    )  # `up` has ended, so or so
    faults: list[Fault] = field(default_factory=list)
    # By service: what the proxies in front of it were told of delays and errors.
    proxy_settings: dict[str, dict[str, int]] = field(default_factory=dict)


class Supervisor:
    """Commands on stacks: every method named in `COMMANDS` can be called through the socket."""

    def __init__(self, info: state.SupervisorInfo, children: ZygoteClient | None = None) -> None:
        self.info = info
        self.stacks: dict[str, StackRecord] = {}
        self._lock = threading.Lock()
        self._children = children
        self._shutting_down = False

    # --- life of a stack ------------------------------------------------------------------------

    def up(
        self, emit: Caller, lab: str, path: str, runtime: str, variables: dict[str, str]
    ) -> dict[str, Any]:
        """Start a stack; it is removed again when it cannot come up or its caller goes."""
        ident = f"{self.info.ident}-{secrets.token_hex(2)}"
        folder = self.info.folder / ident
        topology = compose.read(Path(path), variables)
        record = StackRecord(ident, lab, self._make(runtime, topology, ident, folder))
        with self._lock:
            if self._shutting_down:
                raise LabError("The supervisor is going.")
            folder.mkdir()
            self.stacks[ident] = record
        emit(f"stack {ident}")
        try:
            with emit.when_gone(lambda: self.down(emit, ident)):
                record.runtime.up(emit)
        except BaseException:
            record.up_finished.set()
            self.down(emit, ident)
            raise
        record.up_finished.set()
        return self._describe(record)

    def _make(
        self, runtime: str, topology: compose.ComposeFile, ident: str, folder: Path
    ) -> Runtime:
        if runtime == "docker":
            # The SDK is imported only where it is used: half of a supervisor's start otherwise.
            from lab_services.stack.docker import DockerRuntime

            return DockerRuntime(topology, ident, folder, self.info.ident)
        with self._lock:
            if self._children is None or not self._children.alive:
                self._children = ZygoteClient()
        return ProcessRuntime(topology, ident, folder, self._children)

    def down(self, emit: Emit, stack: str) -> None:
        """End a stack and remove every trace of it."""
        record = self.stacks.get(stack)
        if record is not None:
            record.runtime.remove()
            record.up_finished.wait(_PATIENCE)  # else it could write into its folder once more
            shutil.rmtree(self.info.folder / stack, ignore_errors=True)
            self.stacks.pop(stack, None)

    def ps(self, emit: Emit) -> list[dict[str, Any]]:
        """Every stack of this supervisor."""
        return [self._describe(record) for record in list(self.stacks.values())]

    def describe(self, emit: Emit, stack: str) -> dict[str, Any]:
        """What a stack is and how its replicas are."""
        return self._describe(self._record(stack))

    def _describe(self, record: StackRecord) -> dict[str, Any]:
        return {
            "stack": record.ident,
            "lab": record.lab,
            "runtime": record.runtime.name,
            "path": str(record.runtime.compose.path),
            "replicas": [asdict(r) for r in record.runtime.states()],
            "faults": [asdict(f) for f in record.faults],
        }

    # --- look -----------------------------------------------------------------------------------

    def address(self, emit: Emit, stack: str, service: str, port: int | None, replica: int) -> str:
        return self._record(stack).runtime.address(service, port, replica)

    def logs(self, emit: Emit, stack: str, service: str, replica: int | None, lines: int) -> str:
        return self._record(stack).runtime.logs(service, replica, lines)

    def usage(self, emit: Emit, stack: str) -> list[dict[str, Any]]:
        return [asdict(u) for u in self._record(stack).runtime.usage()]

    def overhead(self, emit: Emit) -> dict[str, int]:
        """Memory in bytes of this supervisor and its zygote, which belong to a lab's cost."""
        own = psutil.Process()
        processes = [own, *own.children(recursive=False)]
        return {
            "memory": sum(
                getattr(p.memory_full_info(), "pss", 0) or p.memory_info().rss for p in processes
            )
        }

    # --- faults ---------------------------------------------------------------------------------

    def kill(self, emit: Emit, stack: str, service: str, replica: int) -> None:
        record = self._record(stack)
        target = record.runtime.replica(service, replica)
        if target.state == "exited":
            raise LabError(f"{service} {replica} has ended already.")
        begin = time.time()
        record.runtime.signal(target, "SIGKILL")
        record.faults.append(Fault("kill", service, replica, begin))
        self._settle(record)

    def start(self, emit: Emit, stack: str, service: str, replica: int) -> None:
        record = self._record(stack)
        record.runtime.start(service, replica)
        self._tell_again(record, service)
        self._settle(record)

    def pause(self, emit: Emit, stack: str, service: str, replica: int) -> None:
        record = self._record(stack)
        target = record.runtime.replica(service, replica)
        if target.state in ("exited", "paused"):
            raise LabError(f"{service} {replica} is {target.state}: it cannot be paused.")
        begin = time.time()
        record.runtime.pause(target)
        record.faults.append(Fault("pause", service, replica, begin))

    def resume(self, emit: Emit, stack: str, service: str, replica: int) -> None:
        record = self._record(stack)
        target = record.runtime.replica(service, replica)
        if target.state != "paused":
            raise LabError(f"{service} {replica} is not paused.")
        record.runtime.resume(target)
        self._settle(record)

    def scale(self, emit: Emit, stack: str, service: str, replicas: int) -> None:
        self._lasting(
            stack,
            "scale",
            service,
            f"to {replicas}",
            lambda runtime: runtime.scale(service, replicas),
        )

    def rollout(self, emit: Emit, stack: str, service: str, environment: dict[str, str]) -> None:
        self._lasting(
            stack,
            "rollout",
            service,
            ", ".join(environment),
            lambda runtime: runtime.rollout(service, environment),
        )

    def inject_delay(
        self, emit: Emit, stack: str, service: str, seconds: float, share: float
    ) -> None:
        values = {"delay_ms": round(seconds * 1000), "delay_percent": round(share * 100)}
        self._set_fault(stack, "delay", service, values, f"{seconds:g} s, {share:.0%}")

    def inject_errors(
        self, emit: Emit, stack: str, service: str, status: int, share: float
    ) -> None:
        values = {"abort_status": status, "abort_percent": round(share * 100)}
        self._set_fault(stack, "errors", service, values, f"{status}, {share:.0%}")

    def clear_faults(self, emit: Emit, stack: str, service: str) -> None:
        record = self._record(stack)
        self._tell_proxies(record, service, {"delay_percent": 0, "abort_percent": 0})
        self._end_faults(
            record, lambda fault: fault.service == service and fault.kind in ("delay", "errors")
        )

    def run(self, emit: Caller, stack: str, service: str) -> dict[str, Any]:
        record = self._record(stack)
        job = record.runtime.compose.service(service)
        if not job.is_job:
            raise LabError(f"{service} is not a job.", "A job has `profiles: [job]`.")
        with emit.when_gone(lambda: self._kill_all(record, service)):
            return asdict(record.runtime.run_job(job))

    def _kill_all(self, record: StackRecord, service: str) -> None:
        for replica in record.runtime.replicas(service):
            if replica.state != "exited":
                record.runtime.signal(replica, "SIGKILL")

    def _set_fault(
        self, stack: str, kind: str, service: str, values: dict[str, int], detail: str
    ) -> None:
        record = self._record(stack)
        begin = time.time()
        self._tell_proxies(record, service, values)
        self._end_faults(record, lambda fault: (fault.kind, fault.service) == (kind, service))
        record.faults.append(Fault(kind, service, None, begin, detail=detail))

    def _tell_proxies(self, record: StackRecord, service: str, values: dict[str, int]) -> None:
        topology = record.runtime.compose
        topology.service(service)
        addresses = {
            name: [
                record.runtime.address(name, proxy.admin, replica.number)
                for replica in record.runtime.replicas(name)
                if replica.state != "exited"
            ]
            for name, proxy in envoy.proxies_of(topology, service).items()
        }
        envoy.set_fault(topology, service, addresses, values)
        record.proxy_settings.setdefault(service, {}).update(values)

    def _tell_again(self, record: StackRecord, proxy: str) -> None:
        """A proxy that was started anew knows of no delay or error that still lasts."""
        if all(replica.state == "exited" for replica in record.runtime.replicas(proxy)):
            return
        for service, values in list(record.proxy_settings.items()):
            if proxy in envoy.proxies_of(record.runtime.compose, service):
                self._tell_proxies(record, service, values)

    def _lasting(
        self, stack: str, kind: str, service: str, detail: str, act: Callable[[Runtime], None]
    ) -> None:
        record = self._record(stack)
        fault = Fault(kind, service, None, time.time(), detail=detail)
        record.faults.append(fault)
        try:
            act(record.runtime)
            self._tell_again(record, service)
        finally:
            record.faults[record.faults.index(fault)] = replace(fault, end=time.time())
            self._settle(record)

    def _settle(self, record: StackRecord) -> None:
        """End the faults of replicas that run again, or are no more."""
        lasting = {"kill": "exited", "pause": "paused"}
        states = {(r.service, r.number): r.state for r in record.runtime.replicas()}
        self._end_faults(
            record,
            lambda fault: (
                fault.kind in lasting
                and states.get((fault.service, fault.replica or 0)) != lasting[fault.kind]
            ),
        )

    def _end_faults(self, record: StackRecord, over: Callable[[Fault], bool]) -> None:
        now = time.time()
        record.faults[:] = [
            replace(fault, end=now) if fault.end is None and over(fault) else fault
            for fault in record.faults
        ]

    def _record(self, stack: str) -> StackRecord:
        if stack not in self.stacks:
            raise state.StackGone(
                f"The stack {stack} has been taken down.", "Start it again: stack.up()."
            )
        return self.stacks[stack]

    # --- life of the supervisor -----------------------------------------------------------------

    def leave(self, emit: Emit) -> None:
        """Told to go: as if the owner had ended."""
        threading.Thread(target=self.end).start()

    def end(self, exit_code: int = 0) -> NoReturn:
        """Take every stack down, remove the folder, end this process."""
        with self._lock:
            first, self._shutting_down = not self._shutting_down, True
        if first:
            try:
                with ThreadPoolExecutor() as pool:
                    list(pool.map(self._remove_quietly, list(self.stacks.values())))
                if self._children is not None:
                    self._children.close()
                state.remove(self.info.ident)
            finally:
                os._exit(exit_code)
        threading.Event().wait()
        raise AssertionError

    def _remove_quietly(self, record: StackRecord) -> None:
        try:
            record.runtime.remove()
            record.up_finished.wait(_PATIENCE)
        except Exception:  # noqa: BLE001 - the other stacks must go all the same
            traceback.print_exc()


COMMANDS = (
    "up", "down", "ps", "describe", "address", "logs", "usage", "overhead", "kill", "start",
    "pause", "resume", "scale", "rollout", "inject_delay", "inject_errors",
    "clear_faults", "run", "leave",
)  # fmt: skip
