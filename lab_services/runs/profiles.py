"""Other machines, made on this one: fewer cores, half of one, one that is busy with something else.

A profile holds for everything that this process starts while it is made: a notebook's kernel, its
stack as plain processes, its generators of traffic. Containers are started by their engine and not
by us: there only those profiles can be made that load the machine from outside.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from difflib import get_close_matches
from enum import StrEnum

import psutil

from lab_services import limits, processor_time, python
from lab_services.errors import LabError
from lab_services.runs import control_group, duty_cycle, foreign_load
from lab_services.runs.environment import environment

SHARE = 0.5  # of a core, of the profile `half`
_BURST, _EVERY = 0.2, 2.0  # seconds, of the profile `bursts`
_PATIENCE = 5.0  # seconds for a program of ours to end when it is told to


class Profile(StrEnum):
    """A machine to measure on.

    quiet is this machine as it is. On one-core all that belongs to the lab has one core, on half it
    has half of the time of one. On busy something else keeps one core busy, and bursts of something
    else come on all cores for 0.2 s, every 2 s.
    """

    QUIET = "quiet"
    ONE_CORE = "one-core"
    HALF = "half"
    BUSY = "busy"
    BURSTS = "bursts"


_HELD = (Profile.ONE_CORE, Profile.HALF)


def named(name: str) -> Profile:
    """The profile of that name. Raises LabError, which names those there are."""
    if name in list(Profile):
        return Profile(name)
    near = get_close_matches(name, list(Profile), n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise LabError(f"There is no profile {name!r}.", f"{hint}There are: {', '.join(Profile)}.")


def why_not(profile: Profile, runtime: str) -> str:
    """Why a profile cannot be made here for stacks on a runtime; nothing where it can."""
    if profile in _HELD and runtime == "docker":
        return "the engine starts the containers, so what is asked of our processes misses them"
    if profile is Profile.ONE_CORE and not hasattr(os, "sched_setaffinity"):
        return "this system holds no process to a core"
    return ""


def can_be_made(runtime: str) -> list[Profile]:
    """The profiles that can be made here for stacks on a runtime."""
    return [profile for profile in Profile if not why_not(profile, runtime)]


def demand(profile: Profile, runtime: str) -> None:
    """Raises LabError, which says what can be made, for a profile that cannot be made here."""
    if why := why_not(profile, runtime):
        other = " Plain processes can be held: --runtime process." if runtime == "docker" else ""
        raise LabError(
            f"The profile {profile} cannot be made here on {runtime}: {why}.",
            f"These can be made: {', '.join(can_be_made(runtime))}.{other}",
        )


@contextmanager
def made(profile: Profile) -> Iterator[str]:
    """This machine as another for a while; gives how that was done, in words.

    Afterwards, whatever comes between, nothing of it is left: no load, no process that is stopped,
    no limit on this process. Should this process be killed, its helpers end themselves. Raises
    LabError where one of them cannot be started or has ended before its time.
    """
    with ExitStack() as until_the_end:
        if profile is not Profile.QUIET:
            # What it takes is no disturbance: claims are judged on that machine as on any.
            until_the_end.enter_context(environment(**{processor_time.SHARED: "1"}))
        match profile:
            case Profile.QUIET:
                how = "nothing was changed"
            case Profile.ONE_CORE:
                core = until_the_end.enter_context(_one_core())
                how = f"held to core {core} by affinity"
            case Profile.HALF:
                how = until_the_end.enter_context(_half())
            case Profile.BUSY:
                core = limits.cores()[-1]
                until_the_end.enter_context(_load(core, 1.0, 1.0))
                how = f"a process of ours spins on core {core}"
            case Profile.BURSTS:
                for core in limits.cores():
                    until_the_end.enter_context(_load(core, _BURST, _EVERY))
                how = f"{len(limits.cores())} processes of ours spin together"
        yield how


@contextmanager
def _half() -> Iterator[str]:
    """Half of the time of one core; where the system holds nothing to a core, of each."""
    with ExitStack() as held:
        if group := control_group.with_quota(SHARE):
            held.enter_context(group.joined())
            by = "by a quota of a control group"
        else:
            held.enter_context(_helper(duty_cycle.__name__))
            by = "by stopping it: no quota may be set here"
        where = "each core"
        if hasattr(os, "sched_setaffinity"):
            # Labs ask how many cores there are, and are not told of a quota that is outside.
            where = f"core {held.enter_context(_one_core())}"
        yield f"held to half of {where}, {by}"


@contextmanager
def _one_core() -> Iterator[int]:
    """Hold this process, and so what it starts, to the first core that it may use."""
    cores = limits.cores()
    try:
        _hold(cores[:1])
        yield cores[0]
    finally:
        _hold(cores)


def _hold(cores: list[int]) -> None:
    """Hold all threads of this process, each of which hands it on to what it starts."""
    for thread in psutil.Process().threads():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(thread.id, cores)


def _load(core: int, busy: float, every: float) -> AbstractContextManager[None]:
    return _helper(foreign_load.__name__, str(core), str(busy), str(every))


@contextmanager
def _helper(module: str, *words: str) -> Iterator[None]:
    """A program of this package that lives for the block, and no longer than this process."""
    process = subprocess.Popen(
        python.command(module, *words),
        env=python.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # An interrupt is ours to see: what it has stopped must go on first.
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        with process.stdout:
            if not process.stdout.readline():
                raise _ended(process, "at its start")
        yield
        if process.poll() is not None:
            raise _ended(process, "before its time")
    finally:
        process.stdin.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ended(process: "subprocess.Popen[bytes]", when: str) -> LabError:
    return LabError(
        f"What made this machine another has ended with {process.wait()} {when}.",
        "The run does not count: type the same command again.",
    )
