"""Waking at a time of the monotonic clock, precisely."""

import ctypes
import os
import sys
import time

import gevent
from gevent import get_hub

_READ = 1
_ABSOLUTE = 1


class SleepTimer:
    """gevent's own wait: fine enough on macOS (kqueue), whole milliseconds on Linux (epoll)."""

    def sleep_until(self, moment: float) -> None:
        """Return at `moment`, or when other greenlets have had a turn if it has passed."""
        gevent.sleep(max(0.0, moment - time.monotonic()))
        while (left := moment - time.monotonic()) > 0:
            gevent.sleep(left)

    def close(self) -> None:
        """Nothing is held."""


class EventTimer:
    """Linux: the kernel's timer is watched like a socket, and wakes some 0.05 ms late.

    Half a millisecond of gevent's own wait would stand in every latency, for that counts from the
    intended start.
    """

    def __init__(self) -> None:
        # ctypes: Python has timerfd_create(2) from 3.13 only.
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._handle = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._handle < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._hub = get_hub()
        self._watcher = self._hub.loop.io(self._handle, _READ)

    def sleep_until(self, moment: float) -> None:
        """Return at `moment`, or when other greenlets have had a turn if it has passed."""
        if moment <= time.monotonic():
            gevent.sleep(0)
            return
        seconds, rest = divmod(moment, 1)
        setting = _Setting(value=_Timespec(int(seconds), int(rest * 1e9) + 1))
        if self._libc.timerfd_settime(self._handle, _ABSOLUTE, ctypes.byref(setting), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")
        self._hub.wait(self._watcher)
        os.read(self._handle, 8)

    def close(self) -> None:
        self._watcher.close()
        os.close(self._handle)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


Timer = EventTimer if sys.platform == "linux" else SleepTimer
