"""Generator processes as the caller sees them: started, given frames, kept warm, ended."""

import atexit
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

from lab_services import python
from lab_services.errors import LabError
from lab_services.traffic.plan import read_frame, write_frame

Frames = SimpleQueue[tuple[int, str, Any]]
"""Frames of several generators: the place of the generator, the kind, the content."""

_LAST_LINES = 15
_PATIENCE = 2.0
# An idle generator holds some 60 MB: no more are kept than can work side by side.
_KEPT = os.cpu_count() or 1

_idle: list["Generator"] = []
_lock = threading.Lock()


class GeneratorDied(LabError):
    """A generator ended in the middle of a run."""


class Generator:
    """One generator process.

    It is in a session of its own, so that an interrupt reaches the caller alone, and it ends
    itself when its input closes, which a caller's death does too.
    """

    def __init__(self) -> None:
        # A file without a name: nothing to clean up, whoever is killed.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            python.command("lab_services.traffic.generator"),
            env=python.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        self._sink: Frames | None = None
        self._place = 0
        self._reader = threading.Thread(target=self._read, name="traffic frames", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def listen(self, sink: Frames, place: int) -> None:
        """Put every frame into `sink` from now on; (place, "ended", None) is the last one."""
        self._place, self._sink = place, sink

    def tell(self, kind: str, content: object = None) -> None:
        """Raises GeneratorDied when nobody is there to take it."""
        assert self._process.stdin is not None
        try:
            write_frame(self._process.stdin, kind, content)
        except BrokenPipeError as error:
            raise self.died() from error

    def end(self) -> None:
        """Close its input and see it go; kill it when it does not."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has gone already, with a frame unread
            self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._errors.close()

    def died(self) -> GeneratorDied:
        """The error to raise for this generator, with the last lines that it wrote."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").splitlines()[-_LAST_LINES:]
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return GeneratorDied(
            f"A traffic generator {how} in the middle of a run.",
            "\n".join(["Its last lines:", *lines])
            if lines
            else "It left no message. Run it again.",
        )

    def _read(self) -> None:
        assert self._process.stdout is not None
        while (frame := read_frame(self._process.stdout)) is not None:
            self._pass_on(*frame)
        self._pass_on("ended", None)

    def _pass_on(self, kind: str, content: Any) -> None:
        if self._sink is not None:
            self._sink.put((self._place, kind, content))


@contextmanager
def generator_processes(count: int, *, keep: bool = True) -> Iterator[list[Generator]]:
    """`count` generators, warm ones first; kept for the next run unless something went wrong."""
    with _lock:
        taken = [_idle.pop() for _ in range(min(count, len(_idle)))]
    try:
        for generator in [one for one in taken if not one.is_alive()]:
            taken.remove(generator)
            generator.end()
        taken += [Generator() for _ in range(count - len(taken))]
        yield taken
    except BaseException:
        keep = False
        raise
    finally:
        with _lock:
            while keep and taken and len(_idle) < _KEPT:
                _idle.append(taken.pop())
        for generator in taken:
            generator.end()


@atexit.register
def end_idle() -> None:
    """End the generators that wait for another run."""
    with _lock:
        ending, _idle[:] = _idle[:], []
    for generator in ending:
        generator.end()
