"""How much of the machine is ours."""

import os
from pathlib import Path


def usable_cores() -> int:
    """Whole cores that this process may use: in a Binder fewer than the machine has.

    The smaller of the processor affinity and the quota of its control group, at least 1.
    """
    allowed = getattr(os, "sched_getaffinity", None)  # macOS has none
    cores = float(len(allowed(0)) if allowed else os.cpu_count() or 1)
    return max(1, int(min(cores, _quota())))


def _quota() -> float:
    # Version 2 of control groups has one file, version 1 has two.
    try:
        if (both := Path("/sys/fs/cgroup/cpu.max")).exists():
            quota, period = both.read_text().split()
        else:
            folder = Path("/sys/fs/cgroup/cpu")
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
    except FileNotFoundError:
        return float("inf")
    return float("inf") if quota in ("max", "-1") else float(quota) / float(period)
