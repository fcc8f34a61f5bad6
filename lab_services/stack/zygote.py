"""The parent of every service process on the process runtime.

`python -m lab_services.stack.zygote FD` reads orders from the socket FD, one JSON object a line.
It stays single-threaded, because only then may a child be forked safely. On Linux it imports once
what every Python service needs, and a service that is started as `python -m MODULE` is a fork of
it: the six services of a stack are ready in about half the time, in half the memory. On macOS the
system libraries do not survive a fork, so there every service is executed afresh.

Orders: {"argv", "env", "cwd", "log", "cores", "tag"}. Answers: {"started": tag, "pid"},
{"refused": tag, "reason"} and {"ended": pid, "exit_code"}. The end of the socket means that the
supervisor is gone: every child is killed.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from collections import deque
from typing import Any, NoReturn

FORKS = sys.platform == "linux"
_PRELOAD = (
    "numpy",
    "onnxruntime",
    "fastapi",
    "pydantic.v1",  # by FastAPI at the first endpoint
    "uvicorn",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "orjson",
    "prometheus_client",
    "pythonjsonlogger.json",
    "lab_services.services.server",
    "lab_services.services.predictor",
)
_PR_SET_PDEATHSIG = 1


class _Zygote:
    def __init__(self, orders: socket.socket) -> None:
        self.socket = orders
        self.orders: deque[dict[str, Any]] = deque()
        self.children: set[int] = set()
        self.unread = b""
        self.pid = os.getpid()
        self.libc = ctypes.CDLL(None) if FORKS else None
        self.wake, wake_end = socket.socketpair()
        wake_end.setblocking(False)
        self.wake.setblocking(False)
        signal.set_wakeup_fd(wake_end.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._wake_end = wake_end

    def run(self) -> NoReturn:
        gc.disable()  # all that the imports make stays
        # A server that is not Python need not wait for the imports, so orders are looked at
        # between them.
        for name in _PRELOAD if FORKS else ():
            importlib.import_module(name)
            self._serve(timeout=0, python=False)
        gc.freeze()  # a collection would touch, and so copy, every shared page
        gc.enable()
        while True:
            self._serve(timeout=0 if self.orders else None, python=True)

    def _serve(self, timeout: float | None, python: bool) -> None:
        readable, _, _ = select.select([self.socket, self.wake], [], [], timeout)
        if self.wake in readable:
            with contextlib.suppress(BlockingIOError):
                while self.wake.recv(512):
                    pass
        if self.socket in readable:
            self._receive()
        for _ in range(len(self.orders)):
            order = self.orders.popleft()
            if not python and _is_module(order["argv"]):
                self.orders.append(order)
            else:
                self._start(order)
        self._reap()

    def _receive(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            self._end()
        *lines, self.unread = (self.unread + data).split(b"\n")
        self.orders.extend(json.loads(line) for line in lines)

    def _start(self, order: dict[str, Any]) -> None:
        try:
            pid = os.fork()
        except OSError as error:  # no memory, or too many processes: the others run on
            self._tell({"refused": order["tag"], "reason": error.strerror})
            return
        if pid == 0:
            self._become(order)
        # Both sides make the group, so that a signal to it right after the start reaches it.
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)
        self.children.add(pid)
        self._tell({"started": order["tag"], "pid": pid})

    def _become(self, order: dict[str, Any]) -> NoReturn:
        exit_code = 1
        try:
            os.setpgid(0, 0)
            if self.libc is not None:
                # Should this parent die by SIGKILL, the kernel ends the child.
                self.libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != self.pid:
                    os._exit(137)
            self._let_go()
            if order["cores"]:
                os.sched_setaffinity(0, order["cores"])
            log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(source, target)
            os.close(log)
            os.close(nothing)
            os.chdir(order["cwd"])
            argv = order["argv"]
            if not (FORKS and _is_module(argv)):
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python alone ignores it
                os.execve(argv[0], argv, order["env"])
            os.environ.clear()
            os.environ.update(order["env"])
            # Buffered text of a killed service would be lost with it.
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
            sys.argv = argv[2:]
            # What a fresh interpreter would have made of its folder and its environment.
            further = [p for p in order["env"].get("PYTHONPATH", "").split(os.pathsep) if p]
            sys.path[:0] = [order["cwd"], *further]
            runpy.run_module(argv[2], run_name="__main__", alter_sys=True)
            exit_code = 0
        except SystemExit as end:
            exit_code = _exit_code(end)
        except BaseException:  # noqa: BLE001 - this is the top of a process: it reports and ends
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(exit_code)

    def _let_go(self) -> None:
        signal.set_wakeup_fd(-1)
        # The supervisor ignores some signals, and who ignores hands it down.
        for number in (signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for end in (self.socket, self.wake, self._wake_end):
            end.close()

    def _reap(self) -> None:
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self.children.discard(pid)
            # What the service itself has started goes with it, as in a container. The id of a
            # group in use is given to nobody else.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(status)
            self._tell({"ended": pid, "exit_code": code if code >= 0 else 128 - code})

    def _tell(self, answer: dict[str, Any]) -> None:
        try:
            self.socket.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            self._end()

    def _end(self) -> NoReturn:
        for pid in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        os._exit(0)


def _is_module(argv: list[str]) -> bool:
    return argv[0] == sys.executable and argv[1:2] == ["-m"]


def _exit_code(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code
    sys.stderr.write(f"{end.code}\n")
    return 1


if __name__ == "__main__":
    _Zygote(socket.socket(fileno=int(sys.argv[1]))).run()
