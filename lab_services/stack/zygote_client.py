"""The supervisor's side of the zygote: start a child process, know when it ended."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab_services import python
from lab_services.errors import LabError

_POLL = 0.5  # seconds
_PATIENCE = 1.0  # seconds
_TAIL = 8  # lines that it last wrote, shown when it has died


@dataclass
class Child:
    """A service process: leader of its own process group."""

    pid: int
    exit_code: int | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group, unless it has ended."""
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):  # it ended this very moment
                os.killpg(self.pid, number)


class ZygoteClient:
    """Starts child processes through a zygote, which this object starts and ends."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._lock = threading.Lock()
        self._tag = 0
        self._started: dict[int, threading.Event] = {}
        self._pids: dict[int, Child] = {}
        self._by_tag: dict[int, Child] = {}
        self._refused: dict[int, str] = {}  # by tag, why
        # A file without a name: nothing to clean up, whoever is killed.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        with theirs:
            self._zygote = subprocess.Popen(
                python.command("lab_services.stack.zygote", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                # A thread pool that NumPy makes at its import would not survive a fork.
                env=python.environment(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1"),
                start_new_session=True,
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def alive(self) -> bool:
        """False when the zygote has ended, by accident or by `close`."""
        return self._listener.is_alive()

    def start(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        cores: Sequence[int] = (),
    ) -> Child:
        """Start a program in `folder`, its output appended to `log`, held to `cores` if any.

        Raises LabError where the system gives no process, and when the zygote has ended.
        """
        with self._lock:
            self._tag += 1
            tag = self._tag
            self._started[tag] = threading.Event()
            order = {
                "argv": list(argv),
                "env": dict(environment),
                "cwd": str(folder),
                "log": str(log),
                "cores": list(cores),
                "tag": tag,
            }
            with contextlib.suppress(OSError):  # no zygote is there any more: so told below
                self._socket.sendall(json.dumps(order).encode() + b"\n")
        while not self._started[tag].wait(_POLL) and self.alive:
            pass
        if tag in self._refused:
            del self._started[tag]
            raise LabError(
                f"No process could be started: {self._refused.pop(tag)}.",
                "End what is not needed: other stacks, notebooks, programs.",
            )
        if tag not in self._by_tag:
            raise LabError("The process that starts the services has ended.", self._last_words())
        del self._started[tag]
        return self._by_tag.pop(tag)

    def _last_words(self) -> str:
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        return "\n".join(said.splitlines()[-_TAIL:]) or "Start the lab anew."

    def kill_all(self) -> None:
        """End every child at once; returns when all are gone."""
        for child in list(self._pids.values()):
            child.signal(signal.SIGKILL)
        for child in list(self._pids.values()):
            child.ended.wait(5)

    def close(self) -> None:
        """End the zygote, and with it whatever it still runs."""
        self.kill_all()
        if self._lock.acquire(blocking=False):
            # Nothing is being started, so it has nothing to end: its imports are not waited for.
            self._zygote.kill()
            self._lock.release()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            self._zygote.wait(_PATIENCE)
        except subprocess.TimeoutExpired:  # in the middle of its imports
            self._zygote.kill()
            self._zygote.wait()
        self._listener.join()
        self._socket.close()
        self._said.close()

    def _listen(self) -> None:
        # A zygote that dies before it has read an order resets the line.
        with contextlib.suppress(ConnectionResetError), self._socket.makefile("rb") as answers:
            for line in answers:
                answer = json.loads(line)
                if "started" in answer:
                    child = Child(answer["pid"])
                    self._pids[child.pid] = child
                    self._by_tag[answer["started"]] = child
                    self._started[answer["started"]].set()
                elif "refused" in answer:
                    self._refused[answer["refused"]] = answer["reason"]
                    self._started[answer["refused"]].set()
                else:
                    child = self._pids.pop(answer["ended"])
                    child.exit_code = answer["exit_code"]
                    child.ended.set()
        # Without the zygote nobody tells of an end any more: make it true.
        for child in self._pids.values():
            child.signal(signal.SIGKILL)
            child.exit_code = 128 + signal.SIGKILL
            child.ended.set()
        for event in list(self._started.values()):
            event.set()
