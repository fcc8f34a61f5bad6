"""Look at the machine while traffic is sent, a few times a second."""

import math
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd
import psutil

from lab_services import limits, processor_time
from lab_services.traffic.disturbance import COLUMNS, Disturbance

EVERY = 0.25  # seconds
_FAMILY = 1.0  # seconds between two looks for what has been started: they cost the most
_SUSPECT = 0.1  # of the machine: then it may be a new process of ours, and is looked at closely


@dataclass(frozen=True)
class _Look:
    """Readings that only grow, but for the clocks; nan where they cannot be seen."""

    clock: float  # of the monotonic clock
    unix: float
    busy: float  # seconds of processor time that processes have used
    stolen: float
    throttled: float
    swapped: float  # bytes


class MachineWatch:
    """What the machine does beside the measurement, from when this is made.

    `look` is called often, and looks where a quarter of a second has gone since it last did. What
    is not foreign says `processor_time.ours`. Where LAB_SHARED is set, what others use and what a
    quota holds back belongs to this machine, and is not looked at.
    """

    def __init__(self) -> None:
        self._cores = psutil.cpu_count() or 1
        self._shared = bool(os.environ.get(processor_time.SHARED))
        self._slices: list[list[float]] = []
        self._culprits: dict[str, float] = {}
        self._asked = -math.inf
        self._find_ours()
        self._others = {} if self._shared else processor_time.of(psutil.process_iter())
        self._used = processor_time.of(self._ours)
        self._last = _look()

    def look(self) -> None:
        """Keep what has been since the last look, where that is long enough ago."""
        if time.monotonic() - self._last.clock >= EVERY:
            self._keep_slice()

    def finish(self, stood_still: Iterable[tuple[float, float]] = ()) -> Disturbance:
        """All of it, with the times (from, to, monotonic clock) at which no generator ran."""
        self._keep_slice()
        table = pd.DataFrame(self._slices, columns=[*COLUMNS])
        ends = table["begin"] + table["seconds"]
        to_unix = self._last.unix - self._last.clock
        for begin, end in stood_still:
            inside = np.minimum(ends, end + to_unix) - np.maximum(table["begin"], begin + to_unix)
            table["stood_still"] += np.maximum(inside, 0)
        return Disturbance(table, self._culprits)

    def _keep_slice(self) -> None:
        before, now = self._last, _look()
        seconds = now.clock - before.clock
        foreign = 0.0 if self._shared else self._foreign(now.busy - before.busy, now.clock)
        self._last = now
        self._slices.append(
            [
                before.unix,
                seconds,
                (now.stolen - before.stolen) / (seconds * self._cores),
                foreign / (seconds * self._cores),
                0.0 if self._shared else (now.throttled - before.throttled) / seconds,
                now.unix - before.unix - seconds,
                now.swapped - before.swapped,
                0.0,
            ]
        )

    def _foreign(self, busy: float, clock: float) -> float:
        """Seconds of processor time, of those that were `busy`, which went to other programs."""
        suspect = _SUSPECT * self._cores * (clock - self._last.clock)
        before, self._used = self._used, processor_time.of(self._ours)
        foreign = busy - processor_time.taken(before, self._used)
        if foreign > suspect or clock - self._looked > _FAMILY:
            self._find_ours()
            self._used = processor_time.of(self._ours)
            foreign = busy - processor_time.taken(before, self._used)
        if foreign > suspect and clock - self._asked > _FAMILY:
            self._ask_who(clock)
        return max(0.0, foreign)

    def _find_ours(self) -> None:
        self._ours = processor_time.ours()
        self._looked = time.monotonic()

    def _ask_who(self, clock: float) -> None:
        """Credit each other program with what it has used since this was last asked."""
        self._asked = clock
        before, self._others = self._others, processor_time.of(psutil.process_iter())
        for process in self._others.keys() - self._ours:
            seconds = processor_time.taken(
                {process: before.get(process)}, {process: self._others[process]}
            )
            with suppress(psutil.Error):  # it has gone this very moment
                name = process.name()
                self._culprits[name] = self._culprits.get(name, 0.0) + seconds


def _look() -> _Look:
    times = psutil.cpu_times()
    swap = psutil.swap_memory()
    return _Look(
        clock=time.monotonic(),
        unix=time.time(),
        busy=times.user + times.system + getattr(times, "nice", 0.0),
        stolen=getattr(times, "steal", math.nan),
        throttled=limits.throttled(),
        swapped=float(swap.sin + swap.sout),
    )
