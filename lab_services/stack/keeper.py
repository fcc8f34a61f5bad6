"""The keeper: one process that owns what a notebook, a test or a terminal has started.

`python -m lab_services.stack.keeper IDENT` listens on a Unix socket for verbs, one JSON object a
connection, and answers with progress and one result. With `--owner PID` it lives as long as its
standard input stays open and its parent is that process, so that nothing outlives a kernel that
was restarted, shut down or killed; without, until it is told to go. With `--children` the parent of
the services is started first, since its imports and the keeper's own can go on side by side.
"""

import argparse
import contextlib
import json
import os
import signal
import socketserver
import sys
import threading
import time
import traceback
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lab_services.errors import LabError
from lab_services.stack import state
from lab_services.stack.children import Children

if TYPE_CHECKING:
    from lab_services.stack.verbs import Keeper

_OWNER_INTERVAL = 0.5  # seconds between two looks at the owner


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64
    keeper: "Keeper"


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        line = self.rfile.readline()
        if not line:
            return  # somebody only looked whether we are there
        order = json.loads(line)
        from lab_services.stack.verbs import VERBS, Caller

        caller = Caller(self.connection, self._tell)
        try:
            if order.get("verb") not in VERBS:
                raise LabError(f"There is no verb {order.get('verb')!r}.")
            verb = getattr(self.server.keeper, order["verb"])
            result = verb(caller, **order["arguments"])
            self._tell({"result": result})
        except LabError as error:
            self._tell({"error": _as_json(error)})
        except Exception as error:  # noqa: BLE001 - the caller gets it, the keeper lives on
            traceback.print_exc()
            self._tell({"error": _as_json(LabError(f"{type(error).__name__}: {error}"))})

    def _tell(self, answer: dict[str, Any]) -> None:
        # The caller may have gone; what it asked for is carried on, its stack has an owner.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ValueError):
            self.wfile.write(json.dumps(answer).encode() + b"\n")


def _as_json(error: LabError) -> dict[str, str]:
    return {"kind": type(error).__name__, "message": error.message, "hint": error.hint}


def main() -> None:
    """Serve until the owner is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("ident")
    parser.add_argument("--owner", type=int)
    parser.add_argument("--children", action="store_true")
    options = parser.parse_args()
    info = state.KeeperInfo(options.ident, os.getpid(), options.owner)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        state.make(info.ident)
        log = os.open(info.folder / "keeper.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        children = Children() if options.children else None
        from lab_services.stack.verbs import Keeper

        keeper = Keeper(info, children)
    except LabError as error:
        sys.exit(_refused(error))
    except BaseException:
        state.remove(info.ident)  # the forker goes with this process
        raise
    signal.signal(signal.SIGTERM, lambda *_: keeper.leave(print))
    try:
        server = _listening(keeper)
    except LabError as error:
        keeper.end(_refused(error))
    try:
        _serve(server, log)
    except BaseException:  # noqa: BLE001 - so or so, nothing stays behind
        with contextlib.suppress(OSError):
            traceback.print_exc()
        keeper.end(1)
    keeper.end()


def _refused(error: LabError) -> int:
    """Tell the owner, who waits for a first line, why there is no keeper; gives the exit code."""
    sys.stdout.write(json.dumps({"error": _as_json(error)}) + "\n")
    sys.stdout.flush()
    return 1


def _listening(keeper: "Keeper") -> _Server:
    """Raises LabError where the folder is no place for a socket."""
    try:
        server = _Server(str(keeper.info.socket), _Handler)
    except OSError as error:
        raise state.no_socket(keeper.info.socket, error) from None
    server.keeper = keeper
    return server


def _serve(server: _Server, log: int) -> None:
    keeper = server.keeper
    info = keeper.info
    threading.Thread(target=server.serve_forever, daemon=True).start()
    info.write()
    os.dup2(log, 2)
    with contextlib.suppress(BrokenPipeError):  # the owner has gone already, as is seen below
        os.write(1, json.dumps(asdict(info)).encode() + b"\n")
    os.dup2(log, 1)  # the pipes of the start lead nowhere from now on
    os.close(log)
    if info.owner is not None:
        threading.Thread(target=_wait_for_end_of_input, args=(keeper,), daemon=True).start()
    # A process that the owner forked may hold the pipe open; the owner's own end shows here.
    # Not one long wait: a signal that another thread receives is handled by this one.
    while info.owner in (None, os.getppid()):
        time.sleep(_OWNER_INTERVAL)


def _wait_for_end_of_input(keeper: "Keeper") -> None:
    sys.stdin.buffer.read()
    keeper.end()


if __name__ == "__main__":
    main()
