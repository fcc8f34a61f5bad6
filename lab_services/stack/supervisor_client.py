"""A notebook's, a test's or a terminal's end of the line to a supervisor."""

import atexit
import contextlib
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from lab_services import python
from lab_services.errors import LabError
from lab_services.stack import messages, orders, state
from lab_services.stack.state import StackGone

R = TypeVar("R")

_GO = 60.0  # seconds for a supervisor to take everything down; far more than any takes
_POLL = 0.02  # seconds between two looks at a supervisor that is going


class SupervisorClient:
    """The line to one supervisor process."""

    def __init__(self, info: state.SupervisorInfo, process: subprocess.Popen[bytes] | None = None):
        self.info = info
        self._process = process

    @classmethod
    def begin(cls, alone: bool = False, children: bool = False) -> "SupervisorClient":
        """Start a supervisor that lives as long as this process, or until told to go if `alone`.

        With `children` it gets ready at once to start plain processes.
        """
        ident = secrets.token_hex(4)
        options = [] if alone else ["--owner", str(os.getpid())]
        if children:
            options.append("--children")
        stdin = subprocess.DEVNULL if alone else subprocess.PIPE
        started: list[subprocess.Popen[bytes]] = []
        starting, wanted = threading.Lock(), True

        def start() -> None:
            with starting:
                if wanted:
                    started.append(_start(ident, options, stdin))

        # In a thread of its own, since an interrupt may come in the middle of a start, even before
        # the thread is known here, and would leave a supervisor that nobody knows of.
        try:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(start).result()
            (process,) = started
            answer = _first_line(process)
        except BaseException:
            with starting:
                wanted = False
            for process in started:
                process.terminate()
                _wait(process)
            raise
        told = messages.decode(answer)
        if isinstance(told, messages.Failed):
            _wait(process)
            raise told.error()
        assert isinstance(told, messages.Begun)
        info = told.info
        if alone:
            threading.Thread(target=process.wait, daemon=True).start()  # else a zombie would stay
            return cls(info)
        return cls(info, process)

    def call(
        self,
        order: orders.Order[R],
        hear: Callable[[messages.Event], None] | None = None,
        *,
        patience: float | None = None,
    ) -> R:
        """Give an order; `hear` gets what happens meanwhile.

        Raises the supervisor's LabError, of the same class where it is known here; StackGone, also
        where it says nothing for `patience` seconds.
        """
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(patience)
            for text in _answers(line, str(self.info.socket), orders.encode(order)):
                match self._decoded(text):
                    case messages.Result() as told:
                        return order.result(told)
                    case messages.Failed() as told:
                        raise told.error()
                    case messages.Event() as told if hear is not None:
                        hear(told)
        raise StackGone(
            "The supervisor of this stack has gone, and the stack with it.",
            "Start the stack again: stack.up().",
        )

    def _decoded(self, line: bytes) -> messages.Message:
        try:
            return messages.decode(line)
        except msgspec.MsgspecError:
            raise LabError(
                f"The supervisor {self.info.ident} is of another version of lab_services.",
                f"End it, and its stacks with it: kill {self.info.pid}",
            ) from None

    def close(self) -> None:
        """Let the supervisor go, and wait until everything it owned is gone.

        One that does not go is killed after a minute, and its processes with it; what is left in
        containers then is removed by `lab down --all`, and stderr says so, as it does where not
        everything could be removed. One that stands alone is left to its user. Raises LabError
        for that.
        """
        if self._process is None:
            deadline = time.monotonic() + _GO
            with contextlib.suppress(StackGone):
                self.call(orders.Leave(), patience=_GO)
            while self.info.alive:
                if time.monotonic() > deadline:
                    raise LabError(
                        f"The supervisor {self.info.ident} does not go.",
                        f"End it, and then what it leaves: kill -9 {self.info.pid}; lab down --all",
                    )
                time.sleep(_POLL)
        else:
            _wait(self._process)


def _start(ident: str, options: list[str], stdin: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        python.command("lab_services.stack.supervisor_process", ident, *options),
        env=python.environment(),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _first_line(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout is not None and process.stderr is not None
    with process.stdout, process.stderr:
        if answer := process.stdout.readline():
            return answer
        raise LabError(
            f"The supervisor ended with {process.wait()} at its start.",
            process.stderr.read().decode(errors="replace"),
        )


def _wait(process: subprocess.Popen[bytes]) -> None:
    for end in (process.stdout, process.stderr):
        if end is not None:
            end.close()
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_GO)
    except subprocess.TimeoutExpired:
        process.kill()  # the exit of an interpreter must not hang on it
        process.wait()
        _tell_what_is_left("The supervisor did not go, and was killed.")
    if process.returncode == state.LEFT:
        logs = state.place() / "*" / "supervisor.log"
        _tell_what_is_left(f"Not everything of a stack could be removed: {logs} says why.")


def _tell_what_is_left(why: str) -> None:
    # Not an error: it comes at the exit of an interpreter, too, which nobody could catch it at.
    sys.stderr.write(f"{why}\nTo remove what is left, type: lab down --all\n")


_own: dict[int, SupervisorClient] = {}
_own_lock = threading.Lock()


def own_supervisor(children: bool = False) -> SupervisorClient:
    """This process's supervisor, started at the first call; `children` as in `begin`."""
    with _own_lock:
        supervisor = _own.get(os.getpid())
        if supervisor is None or not supervisor.info.alive:
            supervisor = _own[os.getpid()] = SupervisorClient.begin(children=children)
            # Without it the interpreter's exit would leave the tear-down to run on by itself.
            atexit.register(supervisor.close)
        return supervisor


def living() -> list[SupervisorClient]:
    """Every supervisor of this user that answers."""
    return [SupervisorClient(info) for info in state.supervisors() if info.alive]


def _answers(line: socket.socket, address: str, order: bytes) -> Iterator[bytes]:
    """What a supervisor answers; ends early when it goes."""
    with contextlib.suppress(OSError):
        line.connect(address)
        line.sendall(order)
        with line.makefile("rb") as answers:
            yield from answers
