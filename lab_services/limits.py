"""How much of the machine this process may use: in a Binder less than there is.

Read from the processor affinity and the control group (version 2, or 1 for the processor).
"""

import math
import os
from pathlib import Path

import psutil

from lab_services import control_groups

_GROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Whole cores that this process may use, at least 1.

    The smaller of the processor affinity and the quota of its control group.
    """
    allowed = getattr(os, "sched_getaffinity", None)  # macOS has none
    cores = float(len(allowed(0)) if allowed else os.cpu_count() or 1)
    return max(1, int(min(cores, _quota())))


def throttled() -> tuple[float, float]:
    """The periods of its control group's quota so far, and those in which it held back.

    nan where that cannot be seen: there is no group that has a quota.
    """
    for group, _, _ in control_groups.places():
        file = group / "cpu.stat"
        stat = dict(line.split() for line in file.read_text().splitlines()) if file.exists() else {}
        if "nr_throttled" in stat:
            return float(stat["nr_periods"]), float(stat["nr_throttled"])
    return math.nan, math.nan


def memory() -> int:
    """Bytes of memory in all that this process may use."""
    return min(int(psutil.virtual_memory().total), _memory_limit() or 2**63)


def available_memory() -> int:
    """Bytes of memory that are free for this process now."""
    available = int(psutil.virtual_memory().available)
    if (limit := _memory_limit()) is None:
        return available
    stat = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
    # Cached files count as used there and go when the memory is needed.
    used = int((_GROUP / "memory.current").read_text()) - int(stat["inactive_file"])
    return min(available, limit - used)


def _memory_limit() -> int | None:
    file = _GROUP / "memory.max"
    limit = file.read_text().strip() if file.exists() else "max"
    return None if limit == "max" else int(limit)


def _quota() -> float:
    # Version 2 of control groups has one file, version 1 has two.
    try:
        if (both := _GROUP / "cpu.max").exists():
            quota, period = both.read_text().split()
        else:
            quota = (_GROUP / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (_GROUP / "cpu/cpu.cfs_period_us").read_text().strip()
    except FileNotFoundError:
        return float("inf")
    return float("inf") if quota in ("max", "-1") else float(quota) / float(period)
