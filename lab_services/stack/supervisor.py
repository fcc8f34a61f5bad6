"""What a supervisor does on request: start and end stacks, cause faults, tell their state."""

import contextlib
import os
import secrets
import shutil
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lab_services.errors import LabError
from lab_services.stack import compose, messages, orders, state
from lab_services.stack.messages import Description, Emit, JobResult
from lab_services.stack.process import ProcessRuntime
from lab_services.stack.record import StackRecord
from lab_services.stack.zygote_client import ZygoteClient

if TYPE_CHECKING:
    from lab_services.stack.faults import AnyRuntime

_PATIENCE = 3.0  # seconds for an `up` to notice that its stack has been taken down


class Caller:
    """Who gave an order: is told of its progress, and may go before its end."""

    def __init__(self, connection: socket.socket, tell: Emit) -> None:
        self._connection = connection
        self.tell = tell

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


class Supervisor:
    """The stacks of one supervisor, and what is done with each order."""

    def __init__(self, info: state.SupervisorInfo, children: ZygoteClient | None = None) -> None:
        self.info = info
        self.stacks: dict[str, StackRecord] = {}
        self._lock = threading.Lock()
        self._children = children
        self._shutting_down = False

    def carry_out(self, order: orders.AnyOrder, caller: Caller) -> Any:
        """What an order asks for, of the type that the order states."""
        match order:
            case orders.Up():
                return self._up(order, caller)
            case orders.Down():
                return self._down(order.stack)
            case orders.List():
                return [record.describe() for record in list(self.stacks.values())]
            case orders.Leave():
                return self.leave()
        record = self._record(order.stack)
        match order:
            case orders.Describe():
                return record.describe()
            case orders.Address():
                return record.runtime.address(order.service, order.port, order.replica)
            case orders.Logs():
                return record.runtime.logs(order.service, order.replica, order.lines)
            case orders.Measure():
                return record.runtime.usage()
            case orders.Run():
                return self._run(record, order.service, caller)
            case orders.Do():
                return record.do(order.change)

    # --- life of a stack ------------------------------------------------------------------------

    def _up(self, order: orders.Up, caller: Caller) -> Description:
        ident = f"{self.info.ident}-{secrets.token_hex(2)}"
        folder = self.info.folder / ident
        topology = compose.read(Path(order.path), order.variables)
        record = StackRecord(ident, order.lab, self._make(order.runtime, topology, ident, folder))
        with self._lock:
            if self._shutting_down:
                raise LabError("The supervisor is going.")
            folder.mkdir()
            self.stacks[ident] = record
        caller.tell(messages.StackStarted(ident))
        try:
            with caller.when_gone(lambda: self._down(ident)):
                record.runtime.up(caller.tell)
        except BaseException as error:
            record.up_finished.set()
            try:
                self._down(ident)
            except Exception as left:  # noqa: BLE001 - why it did not start is what is told
                error.add_note(f"What had been started is still there (lab down --all): {left}")
            raise
        record.up_finished.set()
        return record.describe()

    def _make(
        self, runtime: str, topology: compose.ComposeFile, ident: str, folder: Path
    ) -> "AnyRuntime":
        if runtime == "docker":
            # The SDK is imported only where it is used: half of a supervisor's start otherwise.
            from lab_services.stack.docker import DockerRuntime

            return DockerRuntime(topology, ident, folder, self.info.ident)
        with self._lock:
            if self._children is None or not self._children.alive:
                self._children = ZygoteClient()
        return ProcessRuntime(topology, ident, folder, self._children)

    def _down(self, stack: str) -> None:
        record = self.stacks.get(stack)
        if record is not None:
            record.runtime.remove()
            record.up_finished.wait(_PATIENCE)  # else it could write into its folder once more
            shutil.rmtree(self.info.folder / stack, ignore_errors=True)
            self.stacks.pop(stack, None)

    def _run(self, record: StackRecord, service: str, caller: Caller) -> JobResult:
        job = record.runtime.compose.service(service)
        if not job.is_job:
            raise LabError(f"{service} is not a job.", "A job has `profiles: [job]`.")
        return record.runtime.run_job(job, caller.when_gone)

    def _record(self, stack: str) -> StackRecord:
        if stack not in self.stacks:
            raise state.StackGone(
                f"The stack {stack} has been taken down.", "Start it again: stack.up()."
            )
        record = self.stacks[stack]
        if record.runtime.failures:
            raise LabError(
                f"{record.lab}: {record.runtime.failures[0]}.", "Take it down, and start it anew."
            )
        return record

    # --- life of the supervisor -----------------------------------------------------------------

    def leave(self) -> None:
        """Told to go: as if the owner had ended."""
        threading.Thread(target=self.end).start()

    def end(self, exit_code: int = 0) -> NoReturn:
        """Take every stack down, remove the folder, end this process.

        Where a stack could not be taken down the folder stays, and the exit code is `state.LEFT`.
        """
        with self._lock:
            first, self._shutting_down = not self._shutting_down, True
        if first:
            code = state.LEFT
            try:
                with ThreadPoolExecutor() as pool:
                    removed = list(pool.map(self._remove_quietly, list(self.stacks.values())))
                if self._children is not None:
                    self._children.close()
                if all(removed):
                    state.remove(self.info.ident)
                    code = exit_code
            except Exception:  # noqa: BLE001 - whatever it is, the log and the exit code say so
                traceback.print_exc()
            finally:
                os._exit(code)
        threading.Event().wait()
        raise AssertionError

    def _remove_quietly(self, record: StackRecord) -> bool:
        """Whether nothing of it is left; the log says what is."""
        try:
            record.runtime.remove()
            record.up_finished.wait(_PATIENCE)
        except Exception:  # noqa: BLE001 - the other stacks must go all the same
            traceback.print_exc()
            return False
        return True
