"""Papermill's engine for labs: this very Python as the kernel, and a word at each cell."""

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, ClassVar

import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from papermill.engines import NBClientEngine, papermill_engines

from lab_services.runs import replay
from lab_services.runs.notebook import heading_above

NAME = "lab-services"
_EVERY = 1.0  # seconds between two looks at memory; each costs some milliseconds


@dataclass(frozen=True)
class CellProgress:
    """A code cell begins: its number among the code cells, how many there are, its heading."""

    cell: int
    cells: int
    heading: str


class _OwnPython(AsyncKernelManager):
    """A kernel of this Python, whatever kernels the machine has under whatever name."""

    errors: IO[bytes]  # what the kernel itself writes; what its cells write is in the notebook
    complaints: ClassVar[int] = -1  # bytes in `errors` before it was asked to end; -1: all

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        # ipykernel warns on every start that loopback is not encrypted.
        argv.append("--IPKernelApp.log_level=40")
        first = f"__import__({replay.__name__!r}, fromlist=['begin']).begin()"
        argv.append(f"--IPKernelApp.exec_lines={first}")
        return KernelSpec(argv=argv, display_name="Python 3", language="python")

    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
        await super().start_kernel(stderr=self.errors, **options)

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:  # type: ignore[override]
        type(self).complaints = os.fstat(self.errors.fileno()).st_size
        await super().shutdown_kernel(now=now, restart=restart)


class _Engine(NBClientEngine):  # type: ignore[misc]
    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, progress: Callable[[CellProgress], None], **options: Any
    ) -> Any:
        code = [i for i, cell in enumerate(nb_man.nb.cells) if cell.cell_type == "code"]
        begin = nb_man.cell_start

        def cell_start(cell: Any, cell_index: int | None = None, **more: Any) -> None:
            if cell_index in code:
                place = code.index(cell_index) + 1
                progress(CellProgress(place, len(code), heading_above(nb_man.nb, cell_index)))
            begin(cell, cell_index=cell_index, **more)

        nb_man.cell_start = cell_start
        # Else all of the notebook is written before and after each cell: 3 s of a lab. Papermill
        # still writes it at the start and at the end, also of a run that is interrupted.
        nb_man.save = lambda **_: None
        with tempfile.TemporaryFile() as errors:
            manager: type[_OwnPython] = type("Kernel", (_OwnPython,), {"errors": errors})
            try:
                return super().execute_managed_notebook(
                    nb_man, kernel_name, kernel_manager_class=manager, **options
                )
            except (KeyboardInterrupt, SystemExit):
                errors.truncate(0)  # a kernel that was cut off complains of just that
                raise
            finally:
                del nb_man.save
                errors.seek(0)
                # A kernel that has executed all its cells now and then stumbles over its own end
                # (ipykernel flushes into a socket that it has closed): no news for the reader.
                sys.stderr.write(errors.read(manager.complaints).decode(errors="replace"))


papermill_engines.register(NAME, _Engine)


class Peak:
    """The most memory that was in use at one time, in bytes; None where it is not known."""

    def __init__(self) -> None:
        self.bytes: int | None = 0


@contextmanager
def peak_memory(of_stack: Callable[[], int] | None = None) -> Iterator[Peak]:
    """Watch what this process starts, and add what `of_stack` says the stack uses.

    Pages shared between processes count once where the system tells (Linux). Where a look fails,
    the peak is not known, and standard error says why.
    """
    before = {child.pid for child in psutil.Process().children()}
    peak, done = Peak(), threading.Event()

    def look() -> None:
        most = 0
        try:
            while not done.wait(_EVERY):
                started = [c for c in psutil.Process().children() if c.pid not in before]
                used = sum(_memory(child) for child in started)
                most = max(most, used + (of_stack() if of_stack else 0))
                peak.bytes = most
        except Exception as error:  # noqa: BLE001 - minutes of measuring are not lost for that
            peak.bytes = None
            sys.stderr.write(f"How much memory it takes is not known: {error!r}\n")

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    try:
        yield peak
    finally:
        done.set()
        watch.join()


def _memory(process: psutil.Process) -> int:
    """Of a process and all below it; 0 for one that has gone meanwhile."""
    try:
        tree = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_own_memory(one) for one in tree)


def _own_memory(process: psutil.Process) -> int:
    try:
        told = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return 0
    return int(getattr(told, "pss", told.rss))
