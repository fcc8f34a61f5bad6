"""How much of the machine this process may use: in a Binder less than there is.

Read from the processor affinity and the control group. Version 2 of control groups has one tree
for everything, version 1 has one for the processor alone; a machine may have both, and then the
processor is in one of them.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

_GROUP = Path("/sys/fs/cgroup")


def cores() -> list[int]:
    """The cores that this process may use, and so all that it starts."""
    if hasattr(os, "sched_getaffinity"):  # macOS has none
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def usable_cores() -> int:
    """Whole cores that this process may use, at least 1.

    The smaller of the processor affinity and the quota of its control group.
    """
    return max(1, int(min(len(cores()), _quota())))


def throttled() -> tuple[float, float]:
    """The periods of its control group's quota so far, and those in which it held back.

    nan where that cannot be seen: there is no group that has a quota.
    """
    for group, _, _ in groups():
        file = group / "cpu.stat"
        stat = dict(line.split() for line in file.read_text().splitlines()) if file.exists() else {}
        if "nr_throttled" in stat:
            return float(stat["nr_periods"]), float(stat["nr_throttled"])
    return math.nan, math.nan


def groups() -> list[tuple[Path, Path, int]]:
    """The control groups of this process, as `read_groups` has them; none where there is none."""
    try:
        own, mounts = (Path("/proc/self", name).read_text() for name in ("cgroup", "mountinfo"))
    except OSError:
        return []  # not Linux
    return list(read_groups(own, mounts))


def read_groups(own: str, mounts: str) -> Iterator[tuple[Path, Path, int]]:
    """This process's own group, the one below which to make another, and the version.

    Read from the texts of /proc/self/cgroup and /proc/self/mountinfo; see cgroups(7).
    """
    lines = [line.split(":", 2) for line in own.splitlines()]
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        root, point = left.split()[3:5]
        kind, _, options = right.split(" ", 2)
        for _, controllers, path in lines:
            if kind == "cgroup" and "cpu" in set(controllers.split(",")) & set(options.split(",")):
                version = 1
            elif kind == "cgroup2" and not controllers:
                version = 2
            else:
                continue
            top = Path(point)
            group = top / path.removeprefix(root).lstrip("/")
            # In version 2 a group that has processes may have no groups that are counted.
            yield group, group.parent if version == 2 and group != top else group, version


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
