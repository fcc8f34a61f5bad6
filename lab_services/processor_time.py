"""What processes have used of the processor between two looks, and which of them are ours."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePath
from weakref import WeakKeyDictionary

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
    "com.apple.Virtualization",
)
_STACK = "lab_services.stack."  # the modules that run one, also of another terminal
_INTERPRETERS = ("python", "bash", "sh", "node", "perl", "ruby", "java")
# What was found of a process. It may become another program in its first moments, and stays one
# then: to ask all of them each time would take most of what watching costs.
_found: WeakKeyDictionary[psutil.Process, bool] = WeakKeyDictionary()
_SETTLED = 2.0  # seconds


@dataclass(frozen=True)
class Used:
    """Seconds of processor time of a process, and of its children that have ended."""

    own: float
    children: float
    parent: int


def used(process: psutil.Process) -> Used | None:
    """None when it cannot be told, or has ended and been waited for.

    Until then its time is its own: only the wait hands it on to its parent.
    """
    try:
        with process.oneshot():  # else the same file is read three times
            user, system, children_user, children_system = process.cpu_times()[:4]
            return Used(user + system, children_user + children_system, process.ppid())
    except psutil.Error:
        return None


Look = Mapping[psutil.Process, Used | None]


def of(processes: Iterable[psutil.Process]) -> dict[psutil.Process, Used | None]:
    """What each of them has used.

    Of what has started this process, its own time alone: other children of a shell are not ours.
    """
    found = {process: used(process) for process in processes}
    for above in psutil.Process().parents():
        if now := found.get(above):
            found[above] = replace(now, children=0.0)
    return found


def taken(before: Look, after: Look) -> float:
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
    """This process, what has started it, all that it has started, every stack, and the engine.

    Stacks of plain processes and containers are among them, also those of others.
    """
    own = psutil.Process()
    below: dict[int, list[psutil.Process]] = {}
    found = {*own.parents(), own}
    left = [own]
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has gone meanwhile
            below.setdefault(process.ppid(), []).append(process)
            if _works_for_all(process):
                left.append(process)
    while left:
        found.add(process := left.pop())
        left += below.pop(process.pid, [])
    return found


def called(process: psutil.Process) -> str:
    """The name of a program, of an interpreter with what it runs: `python -m pytest`."""
    try:
        name, words = process.name(), process.cmdline()[1:]
    except psutil.Error:
        return ""  # it has gone this very moment
    if not name.startswith(_INTERPRETERS) or not words:
        return name
    shown = words[:2] if words[0] == "-m" else words[:1]
    return " ".join([name, *(PurePath(word).name[:40] for word in shown)])


def _works_for_all(process: psutil.Process) -> bool:
    known = _found.get(process)
    if known is not None:
        return known
    found = process.name().startswith(_FOR_ALL)
    found = found or any(word.startswith(_STACK) for word in process.cmdline())
    if time.time() - process.create_time() > _SETTLED:
        _found[process] = found
    return found
