"""Look at the machine while traffic is sent, a few times a second."""

import math
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from lab_services import limits, processor_time
from lab_services.traffic.disturbance import COLUMNS, Disturbance

EVERY = 0.25  # seconds
_FAMILY = 1.0  # seconds between two looks for what has been started: they cost the most
_SUSPECT = 0.1  # of the machine: then it may be a new process of ours, and is looked at closely
# The namespace in which all processes of a Linux machine are seen (PROC_PID_INIT_INO).
_ALL_PROCESSES = 0xEFFFFFFC


@dataclass(frozen=True)
class _Counters:
    """Readings that only grow, but for the wall clock; nan where they cannot be seen."""

    clock: float  # of the monotonic clock
    unix: float
    busy: float  # seconds of processor time that processes have used
    stolen: float
    periods: float  # of a quota, and those of them in which it held back
    throttled: float
    swapped: float  # bytes


class MachineWatch:
    """What the machine does beside the measurement, from when this is made.

    `look` is called often, and looks where a quarter of a second has gone since it last did. What
    is not foreign says `processor_time.ours`. Where LAB_SHARED is 1, what others use and what a
    quota holds back belongs to this machine, and is not looked at; nor is what others use where
    they cannot be seen, as in a container.
    """

    def __init__(self) -> None:
        self._cores = limits.cores()
        self._shared = os.environ.get(processor_time.SHARED) == "1"
        self._sees_others = not self._shared and _sees_others()
        self._slices: list[list[float | str]] = []
        self._find_ours(time.monotonic())
        self._used = processor_time.of(self._ours)
        self._last = self._read()

    def look(self) -> None:
        """Keep what has been since the last look, where that is long enough ago."""
        if time.monotonic() - self._last.clock >= EVERY:
            self._keep_slice()

    def finish(
        self, to_unix: float, stood_still: Iterable[tuple[float, float]] = ()
    ) -> Disturbance:
        """All of it; times are of the monotonic clock, to which `to_unix` is added.

        `stood_still` has from when to when a generator was not run.
        """
        self._keep_slice()
        table = pd.DataFrame(self._slices, columns=[*COLUMNS])
        ends = table["begin"] + table["seconds"]
        for begin, end in _united(stood_still):
            inside = np.minimum(ends, end) - np.maximum(table["begin"], begin)
            table["stood_still"] += np.maximum(inside, 0)
        table["begin"] += to_unix
        return Disturbance(table)

    def _keep_slice(self) -> None:
        before, now = self._last, self._read()
        self._last = now
        seconds = now.clock - before.clock
        machine = seconds * len(self._cores)
        foreign, culprit = self._foreign(before, now)
        periods = now.periods - before.periods
        held_back = (now.throttled - before.throttled) / max(periods, 1)
        self._slices.append(
            [
                before.clock,
                seconds,
                (now.stolen - before.stolen) / machine,
                foreign / machine,
                math.nan if self._shared else held_back,
                now.unix - before.unix - seconds,
                now.swapped - before.swapped,
                0.0,
                culprit,
            ]
        )

    def _foreign(self, before: _Counters, now: _Counters) -> tuple[float, str]:
        """Seconds of processor time that went to other programs, and which used most of much."""
        if not self._sees_others:
            return math.nan, ""
        busy = now.busy - before.busy
        suspect = _SUSPECT * len(self._cores) * (now.clock - before.clock)
        used, self._used = self._used, processor_time.of(self._ours)
        foreign = busy - processor_time.taken(used, self._used)
        if foreign > suspect or now.clock - self._looked > _FAMILY:
            known = self._others
            self._find_ours(now.clock)
            self._used = processor_time.of(self._ours)
            foreign = busy - processor_time.taken(used, self._used)
            if foreign > suspect:
                return foreign, self._who(known)
        return max(0.0, foreign), ""

    def _find_ours(self, clock: float) -> None:
        """Look which processes are ours now, and what the others have used."""
        self._looked = clock
        self._ours = processor_time.ours()
        others = (p for p in psutil.process_iter() if p not in self._ours)
        self._others = processor_time.of(others) if self._sees_others else {}

    def _who(self, before: processor_time.Look) -> str:
        """The other program that has used most since it was looked at, in a second at most."""
        used = {
            process: processor_time.taken({process: before.get(process)}, {process: now})
            for process, now in self._others.items()
        }
        most = max(used, key=lambda process: used[process], default=None)
        return processor_time.called(most) if most and used[most] > 0 else ""

    def _read(self) -> _Counters:
        every = psutil.cpu_times(percpu=True)
        times = [every[core] for core in self._cores if core < len(every)]
        periods, throttled = limits.throttled()
        return _Counters(
            clock=time.monotonic(),
            unix=time.time(),
            busy=sum(each.user + each.system + getattr(each, "nice", 0.0) for each in times),
            stolen=sum(getattr(each, "steal", math.nan) for each in times),
            periods=periods,
            throttled=throttled,
            swapped=_swapped(),
        )


def _sees_others() -> bool:
    """Whether this process sees all others: in a container it sees its own alone."""
    if sys.platform != "linux":
        return True
    return Path("/proc/self/ns/pid").stat().st_ino == _ALL_PROCESSES


def _swapped() -> float:
    """Bytes; macOS counts pages of files with them, and so does not tell."""
    if sys.platform == "darwin":
        return math.nan
    swap = psutil.swap_memory()
    return float(swap.sin + swap.sout)


def _united(times: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same times, those that overlap as one."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(times):
        if found and begin <= found[-1][1]:
            begin, end = found[-1][0], max(end, found.pop()[1])
        found.append((begin, end))
    return found
