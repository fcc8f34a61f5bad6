"""Where the kernel (Linux) counts and bounds the processor time of this process: its control group.

Version 2 of control groups has one tree for everything, version 1 has one for the processor alone;
a machine may have both, and then the processor is in one of them.
"""

from collections.abc import Iterator
from pathlib import Path


def places() -> list[tuple[Path, Path, int]]:
    """This process's own group, the one below which to make another, and the version: `read`."""
    try:
        groups, mounts = (Path("/proc/self", name).read_text() for name in ("cgroup", "mountinfo"))
    except OSError:
        return []  # not Linux
    return list(read(groups, mounts))


def read(own: str, mounts: str) -> Iterator[tuple[Path, Path, int]]:
    """This process's own group, the one below which to make another, and the version.

    Read from the texts of /proc/self/cgroup and /proc/self/mountinfo; see cgroups(7).
    """
    groups = [line.split(":", 2) for line in own.splitlines()]
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        root, point = left.split()[3:5]
        kind, _, options = right.split(" ", 2)
        for _, controllers, path in groups:
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
