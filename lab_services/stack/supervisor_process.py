"""The supervisor: one process that owns what a notebook, a test or a terminal has started.

`python -m lab_services.stack.supervisor_process IDENT` listens on a Unix socket for `orders`, one a
connection, and answers with `messages`: events and one result. With `--owner PID` it lives as long
as its standard input stays open and its parent is that process, so that nothing outlives a kernel
that was restarted, shut down or killed; without, until it is told to go. With `--children` the
parent of the services is started first, since its imports and the supervisor's own can go on side
by side.
"""

import argparse
import contextlib
import os
import signal
import socketserver
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

import msgspec

from lab_services.errors import LabError
from lab_services.stack import messages, state
from lab_services.stack.zygote_client import ZygoteClient

if TYPE_CHECKING:
    from lab_services.stack.supervisor import Supervisor

_OWNER_INTERVAL = 0.5  # seconds between two looks at the owner


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64
    supervisor: "Supervisor"


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        line = self.rfile.readline()
        if not line:
            return  # somebody only looked whether we are there
        from lab_services.stack import orders
        from lab_services.stack.supervisor import Caller

        caller = Caller(self.connection, self._tell)
        try:
            result = self.server.supervisor.carry_out(orders.decode(line), caller)
            self._tell(messages.result(result))
        except LabError as error:
            self._tell(messages.Failed.by(error))
        except msgspec.MsgspecError as error:
            self._tell(messages.Failed.by(LabError(f"The supervisor knows no such order: {error}")))
        except Exception as error:  # noqa: BLE001 - the caller gets it, the supervisor lives on
            traceback.print_exc()
            notes = "\n".join(getattr(error, "__notes__", []))
            self._tell(messages.Failed.by(LabError(f"{type(error).__name__}: {error}", notes)))

    def _tell(self, message: messages.Message) -> None:
        # The caller may have gone; what it asked for is carried on, its stack has an owner.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ValueError):
            self.wfile.write(messages.encode(message))


def main() -> None:
    """Serve until the owner is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("ident")
    parser.add_argument("--owner", type=int)
    parser.add_argument("--children", action="store_true")
    options = parser.parse_args()
    info = state.SupervisorInfo(options.ident, os.getpid(), options.owner)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        state.make(info.ident)
        log = os.open(info.folder / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        children = ZygoteClient() if options.children else None
        from lab_services.stack.supervisor import Supervisor

        supervisor = Supervisor(info, children)
    except LabError as error:
        sys.exit(_refused(error))
    except BaseException:
        state.remove(info.ident)  # the zygote goes with this process
        raise
    signal.signal(signal.SIGTERM, lambda *_: supervisor.leave())
    try:
        server = _listening(supervisor)
    except LabError as error:
        supervisor.end(_refused(error))
    try:
        _serve(server, log)
    except BaseException:  # noqa: BLE001 - so or so, nothing stays behind
        with contextlib.suppress(OSError):
            traceback.print_exc()
        supervisor.end(1)
    supervisor.end()


def _refused(error: LabError) -> int:
    """Tell the owner, who waits for a first line, why there is no supervisor; the exit code."""
    sys.stdout.buffer.write(messages.encode(messages.Failed.by(error)))
    sys.stdout.flush()
    return 1


def _listening(supervisor: "Supervisor") -> _Server:
    """Raises LabError where the folder is no place for a socket."""
    try:
        server = _Server(str(supervisor.info.socket), _Handler)
    except OSError as error:
        raise state.no_socket(supervisor.info.socket, error) from None
    server.supervisor = supervisor
    return server


def _serve(server: _Server, log: int) -> None:
    supervisor = server.supervisor
    info = supervisor.info
    threading.Thread(target=server.serve_forever, daemon=True).start()
    info.write()
    os.dup2(log, 2)
    with contextlib.suppress(BrokenPipeError):  # the owner has gone already, as is seen below
        os.write(1, messages.encode(messages.Begun(info)))
    os.dup2(log, 1)  # the pipes of the start lead nowhere from now on
    os.close(log)
    if info.owner is not None:
        threading.Thread(target=_wait_for_end_of_input, args=(supervisor,), daemon=True).start()
    # A process that the owner forked may hold the pipe open; the owner's own end shows here.
    # Not one long wait: a signal that another thread receives is handled by this one.
    while info.owner in (None, os.getppid()):
        time.sleep(_OWNER_INTERVAL)


def _wait_for_end_of_input(supervisor: "Supervisor") -> None:
    sys.stdin.buffer.read()
    supervisor.end()


if __name__ == "__main__":
    main()
