"""Hold everything that a process has started to half of its time, without the rights that a quota
needs: `python -m lab_services.runs.duty_cycle`.

All descendants of whoever starts this are stopped (SIGSTOP) for the second half of each tenth of a
second. It ends with its owner, whose end of its standard input then closes, and with nothing else
but SIGKILL: whatever it has stopped goes on before it ends, also where the owner was killed.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from lab_services.runs.foreign_load import gone

_HALF = 0.05  # seconds; the kernel's own quota counts in periods of a tenth of a second, too
_FAMILY = 0.5  # seconds between two looks for what has been started
# A process that a lab has paused is not ours to continue; one that has ended cannot be stopped.
_LEFT_ALONE = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)


class Family:
    """What a process has started, and all that this has; `stopped` are those that are held now."""

    def __init__(self, owner: psutil.Process) -> None:
        self._owner = owner
        self._known: list[psutil.Process] = []
        self._looked = 0.0
        self.stopped: list[psutil.Process] = []

    def stop(self) -> None:
        """Stop all of it that runs, parents before children.

        So no supervisor runs on that pauses a service, of which nobody could tell afterwards who
        has stopped it.
        """
        for process in self._members():
            with contextlib.suppress(psutil.Error):  # it ended this very moment
                if process.status() not in _LEFT_ALONE and not _about_to_stop(process.pid):
                    # First, lest it stays stopped should this be interrupted between the two.
                    self.stopped.append(process)
                    process.suspend()

    def go_on(self) -> None:
        """Let what was stopped go on, children before parents."""
        while self.stopped:
            with contextlib.suppress(psutil.Error):
                self.stopped[-1].resume()
            del self.stopped[-1]

    def _members(self) -> list[psutil.Process]:
        now = time.monotonic()
        if now - self._looked > _FAMILY:
            self._looked = now
            found: list[psutil.Process] = []
            with contextlib.suppress(psutil.NoSuchProcess):
                found = [p for p in self._owner.children(recursive=True) if p.pid != os.getpid()]
            # What has lost its parent meanwhile is of the family still.
            left = [p for p in self._known if p not in found and p.is_running()]
            self._known = found + left
        return self._known


def _about_to_stop(pid: int) -> bool:
    """Whether somebody has stopped it, and it has had no processor yet to stop on."""
    if sys.platform != "linux":
        return False
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False  # it has ended this very moment
    waiting = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(signals & 1 << signal.SIGSTOP - 1 for signals in waiting)


def main() -> None:
    """Stop and go on in turns until the owner is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    family = Family(psutil.Process(os.getppid()))
    os.write(1, b"begun\n")
    try:
        while not gone(_HALF - time.monotonic() % _HALF):
            if int(time.monotonic() / _HALF) % 2:
                family.stop()
            else:
                family.go_on()
    finally:
        family.go_on()


if __name__ == "__main__":
    main()
