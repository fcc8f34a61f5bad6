"""What processes have used of the processor between two looks, and which of them are ours."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

# An environment variable: what others use belongs to this machine, as where it is made busy on
# purpose, and is no disturbance.
SHARED = "LAB_SHARED"
# A container engine, or the machine in which it runs, works for the stacks that are measured, and
# the kernel's own threads work for whoever asks them.
_FOR_ALL = (
    "kthreadd",
    "dockerd",
    "containerd",
    "docker-proxy",
    "com.docker",
    "qemu-system",
    "limactl",
    "colima",
)


@dataclass(frozen=True)
class Used:
    """Seconds of processor time of a process, and of its children that have ended."""

    own: float
    children: float
    parent: int


def used(process: psutil.Process) -> Used | None:
    """None when it cannot be told, or has ended."""
    try:
        with process.oneshot():  # else the same file is read three times
            user, system, children_user, children_system = process.cpu_times()[:4]
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return Used(user + system, children_user + children_system, process.ppid())
    except psutil.Error:
        return None


def of(processes: Iterable[psutil.Process]) -> dict[psutil.Process, Used | None]:
    """What each of them has used."""
    return {process: used(process) for process in processes}


def taken(
    before: Mapping[psutil.Process, Used | None], after: Mapping[psutil.Process, Used | None]
) -> float:
    """Seconds of processor time between two looks at processes.

    One that has ended is None afterwards; one that was not there before counts from its start.
    """
    ended = [then for process, then in before.items() if then and after.get(process) is None]
    seconds = 0.0
    for process, now in after.items():
        if now is None:
            continue
        then = before.get(process) or Used(0.0, 0.0, now.parent)
        # A child that ended brings its whole life: what it used before is not of this time.
        brought = sum(each.own + each.children for each in ended if each.parent == process.pid)
        seconds += now.own - then.own + max(0.0, now.children - then.children - brought)
    return seconds


def ours() -> set[psutil.Process]:
    """This process, what has started it, all that it has started, and the container engine.

    The engine's containers are among them, also those of others.
    """
    own = psutil.Process()
    below: dict[int, list[psutil.Process]] = {}
    found = {*own.parents(), own}
    left = [own]
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has gone meanwhile
            below.setdefault(process.ppid(), []).append(process)
            if process.name().startswith(_FOR_ALL):
                left.append(process)
    while left:
        found.add(process := left.pop())
        left += below.pop(process.pid, [])
    return found
