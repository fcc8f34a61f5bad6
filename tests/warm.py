"""Programs of this package, each in a process of its own that begins with everything imported.

A fresh Python takes seconds to import what `lab run` and the build of the book need. Here one
process imports it once, and each program is a fork of it: with its own environment, outputs and
exit code, as a shell would start it.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from lab_services import ending

# Imported by the fork server; none of them starts a thread.
_MODULES = (
    "ipykernel.kernelspec",
    "lab_services.book.__main__",
    "lab_services.book.extension",
    "lab_services.command.prove",
    "lab_services.runs.execution",
    "lab_services.runs.judging",
    "lab_services.models.build",
    "lab_services.stack",
    "lab_services.traffic",
    # What a build of the book loads by itself, some of it by name.
    "docutils.writers.latex2e",
    "jupyter_book.pdf",
    "jupyter_book.sphinx",
    "myst_nb.sphinx_ext",
    "pydata_sphinx_theme",
    "sphinx.builders.html",
    "sphinx.builders.latex",
    "sphinx.builders.linkcheck",
    "sphinx_book_theme",
    "sphinx_external_toc",
)


class Warm:
    """Runs `python -m MODULE WORDS`, one after another. Close it."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def run(
        self,
        module: str,
        *words: str,
        folder: Path | None = None,
        environment: Mapping[str, str] = os.environ,
        together: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """To its end, in `folder` (else where we are).

        `together` puts what it complains of among what it says, in stdout.
        """
        with tempfile.TemporaryFile("w+") as out, contextlib.ExitStack() as opened:
            err = out if together else opened.enter_context(tempfile.TemporaryFile("w+"))
            try:
                order = {
                    "words": [module, *words],
                    "folder": str(folder or Path.cwd()),
                    "environment": dict(environment),
                }
                code = self._ask(order, out, err)
            except BaseException:
                self.close()  # in the middle of an answer it is of no further use
                raise
            told = "" if together else _read(err)
            return subprocess.CompletedProcess([module, *words], code, _read(out), told)

    def close(self) -> None:
        """End the fork server."""
        if self._socket is not None and self._server is not None:
            self._socket.close()
            self._server.kill()
            self._server.wait()
        self._socket = self._server = None

    def _ask(self, order: dict[str, object], out: IO[str], err: IO[str]) -> int:
        if self._socket is None:
            self._socket, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-m", __name__, str(theirs.fileno())]
                self._server = subprocess.Popen(
                    command,
                    pass_fds=[theirs.fileno()],
                    # A thread pool that NumPy makes at its import would not survive a fork.
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                )
        # Files are shared with the place in them, so both outputs may be one file.
        message = [json.dumps(order).encode()]
        socket.send_fds(self._socket, message, [out.fileno(), err.fileno()])
        answer = self._socket.recv(100)
        assert answer, "the fork server has ended"
        return int(answer)


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _serve(orders: socket.socket) -> None:
    # Here, so that whoever asks for programs imports none of this.
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    from lab_services.runs import page

    for module in _MODULES:
        importlib.import_module(module)
    # The first page compiles what all others use: patterns, lexers.
    page.render(new_notebook(cells=[new_code_cell("1"), new_markdown_cell("# One")]), "One")
    gc.freeze()  # else each fork copies all of it, to free it at its end: half a second of work
    while True:
        message, fds, _, _ = socket.recv_fds(orders, 1 << 17, 2)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            orders.close()
            _become(json.loads(message), fds)
            return
        for fd in fds:
            os.close(fd)
        _, status = os.waitpid(pid, 0)
        orders.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _become(order: dict[str, Any], fds: list[int]) -> None:
    ending.with_parent()
    for fd, number in zip(fds, (1, 2), strict=True):
        os.dup2(fd, number)
        os.close(fd)
    module, *words = order["words"]
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
