"""Generator processes as the caller sees them: started, given frames, kept warm, ended."""

import atexit
import math
import os
import select
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

from lab_services import python
from lab_services.errors import LabError
from lab_services.traffic.plan import frame, read_frame

Frames = SimpleQueue[tuple[int, str, Any]]
"""Frames of several generators: the place of the generator, the kind, the content."""

_LAST_LINES = 15
_PATIENCE = 2.0
# Seconds for a generator to take what it is told; one that works takes it at once.
_TAKING = 60.0
_AGAIN = (
    "It may be stopped, or find no time here. It is ended, and the next run has a new one: run it "
    "again, with less beside it."
)
# An idle generator holds some 60 MB: no more are kept than can work side by side.
_KEPT = os.cpu_count() or 1

_idle: list["Generator"] = []
_lock = threading.Lock()


class GeneratorDied(LabError):
    """A generator ended, or said nothing any more, in the middle of a run."""


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
        assert self._process.stdin is not None
        # A full pipe shows then, and does not hold whoever writes.
        os.set_blocking(self._process.stdin.fileno(), False)
        self.heard = time.monotonic()  # when it last said something
        self._patience_until = math.inf  # then it must have ended
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
        """Raises GeneratorDied when nobody is there to take it, or it is not taken for a minute."""
        assert self._process.stdin is not None
        pipe = self._process.stdin.fileno()
        room = select.poll()
        room.register(pipe, select.POLLOUT)
        left = memoryview(frame(kind, content))
        try:
            while left:
                if not room.poll(_TAKING * 1000):
                    raise self.hangs(f"has taken nothing for {_TAKING:g} s")
                left = left[os.write(pipe, left) :]
        except BrokenPipeError as error:
            raise self.died() from error

    def let_go(self) -> None:
        """Close its input, and it ends."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has gone already, with a frame unread
            self._process.stdin.close()
        self._patience_until = min(self._patience_until, time.monotonic() + _PATIENCE)

    def end(self) -> None:
        """Let it go and see it gone; kill it when it does not, or has been found to hang."""
        assert self._process.stdout is not None
        self.let_go()
        try:
            self._process.wait(max(0.0, self._patience_until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._errors.close()

    def died(self) -> GeneratorDied:
        """The error to raise for this generator, with the last lines that it wrote."""
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return self.hangs("has closed its end of the line and does not go")
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return GeneratorDied(
            f"A traffic generator {how} in the middle of a run.",
            self._last_words() or "It left no message. Run it again.",
        )

    def hangs(self, how: str) -> GeneratorDied:
        """The error to raise for this generator where it lives and does not go on."""
        self._patience_until = 0.0
        return GeneratorDied(
            f"A traffic generator (process {self.pid}) {how}.",
            "\n".join(filter(None, [_AGAIN, self._last_words()])),
        )

    def _last_words(self) -> str:
        file = self._errors.fileno()
        # Without a move of its position, which is that of the process that writes, too.
        said = os.pread(file, os.fstat(file).st_size, 0).decode("utf-8", "replace")
        lines = said.splitlines()[-_LAST_LINES:]
        return "\n".join(["Its last lines:", *lines]) if lines else ""

    def _read(self) -> None:
        assert self._process.stdout is not None
        while (said := read_frame(self._process.stdout)) is not None:
            self.heard = time.monotonic()
            self._pass_on(*said)
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
        _end(taken)


@atexit.register
def end_idle() -> None:
    """End the generators that wait for another run."""
    with _lock:
        ending, _idle[:] = _idle[:], []
    _end(ending)


def _end(generators: list[Generator]) -> None:
    """End them side by side: where several hang, one's patience is that of all."""
    for generator in generators:
        generator.let_go()
    for generator in generators:
        generator.end()
