"""Other machines made on this one: each is seen to work, and nothing of it is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lab_services import limits, python
from lab_services.errors import LabError
from lab_services.runs import control_group, duty_cycle, foreign_load
from lab_services.runs.profiles import Profile, can_be_made, demand, made, named
from lab_services.waiting import wait_until

LINUX = sys.platform == "linux"
SPIN = [sys.executable, "-c", "while True: pass"]
# A process that makes a profile, starts a child and waits to be killed.
MAKES = """
import subprocess, sys, time
from lab_services.runs import control_group
from lab_services.runs.profiles import Profile, made
if {cycle}:
    control_group.with_quota = lambda cores: None
with made(Profile({profile!r})):
    print(subprocess.Popen([sys.executable, "-c", "while True: pass"]).pid, flush=True)
    time.sleep(99)
"""

# What a lab does as its fault: two services are started, one of them is paused.
PAUSES = """
import subprocess, sys
import psutil
runs, paused = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
psutil.Process(paused.pid).suspend()
print(runs.pid, paused.pid, flush=True)
sys.stdin.read()
for process in (runs, paused):
    process.kill()
    process.wait()
"""


@pytest.fixture
def spinning() -> Iterator[Callable[[], psutil.Process]]:
    """Starts children that spin."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> psutil.Process:
        started.append(subprocess.Popen(SPIN))
        return psutil.Process(started[-1].pid)

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def without_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which this process may make no control group."""
    monkeypatch.setattr(control_group, "with_quota", lambda cores: None)


def helpers(module: str, parent: int | None = None) -> list[psutil.Process]:
    """The programs of a profile that live."""
    found = []
    for process in psutil.Process(parent).children():
        try:
            if module in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue  # it has just ended
    return found


def used(process: psutil.Process) -> float:
    """Seconds of processor time."""
    times = process.cpu_times()
    return times.user + times.system


def share(*processes: psutil.Process) -> float:
    """What processes use together of one core."""
    wait_until(lambda: all(used(each) > 0.05 for each in processes), 10, "they run")
    begin, before = time.monotonic(), sum(map(used, processes))
    time.sleep(1)
    return (sum(map(used, processes)) - before) / (time.monotonic() - begin)


def held(process: psutil.Process) -> None:
    """Waits until it has been stopped: what was just started is not known at once."""
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED, 10, "it is held")


def works(process: psutil.Process) -> bool:
    """Whether a process uses the processor, be it with stops."""
    before = used(process)
    return wait_until(lambda: used(process) > before + 0.1, 10, "it works")


def runs_on(process: psutil.Process) -> bool:
    """Whether a process uses the processor and is not stopped."""
    return works(process) and process.status() != psutil.STATUS_STOPPED


@pytest.mark.alone
def test_half_is_half_of_a_core(spinning: Callable[[], psutil.Process]) -> None:
    """A profile that only has its name; one whose limit stays on this process."""
    before = _groups()
    with made(Profile.HALF) as how:
        assert how.startswith("held to half of")
        assert share(spinning(), spinning()) < 0.65
    assert runs_on(spinning())
    assert _groups() == before and not helpers(duty_cycle.__name__)


@pytest.mark.alone
def test_half_without_a_quota(spinning: Callable[[], psutil.Process], without_quota: None) -> None:
    """What counts on rights that a reader does not have; a process that stays stopped."""
    with made(Profile.HALF) as how:
        assert how.endswith("by stopping it: no quota may be set here")
        assert helpers(duty_cycle.__name__)
        child = spinning()
        held(child)
        assert share(child) < 0.65
        if LINUX:
            other = spinning()
            held(other)
            assert share(child, other) < 0.65  # of one core, not of each
    assert runs_on(child)
    assert not helpers(duty_cycle.__name__)


def test_what_a_lab_has_paused_stays_paused(without_quota: None) -> None:
    """A fault of a lab that the profile ends."""
    lab = None
    try:
        with made(Profile.HALF):
            lab = subprocess.Popen(
                [sys.executable, "-c", PAUSES], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert lab.stdout is not None
            runs, paused = map(psutil.Process, map(int, lab.stdout.readline().split()))
            held(runs)
            assert works(runs)
            assert paused.status() == psutil.STATUS_STOPPED
        assert paused.status() == psutil.STATUS_STOPPED
    finally:
        if lab is not None:
            lab.communicate()


def test_a_group_that_was_left_is_removed(spinning: Callable[[], psutil.Process]) -> None:
    """Groups that gather; one that keeps what was running in it at the end."""
    group = control_group.with_quota(0.5)
    if group is None:
        pytest.skip("This process may make no control group.")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = group.folder.with_name(f"lab-steady-{ended.pid}")
    left.mkdir()
    with group.joined():
        child = spinning()
        assert str(child.pid) in (group.folder / "cgroup.procs").read_text().split()
    assert not group.folder.exists()
    assert str(child.pid) in (group.before / "cgroup.procs").read_text().split()
    assert control_group.with_quota(0.5) == group
    group.folder.rmdir()
    assert not left.exists()


ONE = "30 23 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct"
TWO = "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
DISK = "25 1 8:1 / / rw - ext4 /dev/sda1 rw"


@pytest.mark.parametrize(
    ("own", "mounts", "found"),
    [
        # Of systemd: the process is in a leaf, and another is made beside it.
        ("0::/app.slice/a.scope", [DISK, TWO], ("/app.slice/a.scope", "/app.slice", 2)),
        ("0::/", [DISK, TWO], ("", "", 2)),
        ("3:memory:/\n4:cpu,cpuacct:/a/b", [ONE], ("/cpu,cpuacct/a/b", "/cpu,cpuacct/a/b", 1)),
        # In a container the tree begins at its own group, which has its full name outside.
        (
            "4:cpu,cpuacct:/docker/1",
            [ONE.replace(" / /sys", " /docker/1 /sys")],
            ("/cpu,cpuacct",) * 2 + (1,),
        ),
        ("3:memory:/a", [DISK, ONE], None),
    ],
)
def test_where_a_group_is_made(
    own: str, mounts: list[str], found: tuple[str, str, int] | None
) -> None:
    """A quota that only the machine of its author has."""
    made_at = list(limits.read_groups(f"{own}\n", "\n".join(mounts)))
    if found is None:
        assert made_at == []
    else:
        group, above, version = found
        top = "/sys/fs/cgroup"
        assert made_at == [(Path(f"{top}{group}"), Path(f"{top}{above}"), version)]


def test_a_tree_that_counts_no_processor_time_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit that is written into an ordinary file, and a run that is not held at all."""
    monkeypatch.setattr(limits, "groups", lambda: [(tmp_path, tmp_path, 2)])
    assert control_group.with_quota(0.5) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not LINUX, reason="Only Linux holds a process to a core.")
def test_one_core_is_handed_on() -> None:
    """A lab that uses what it should not have; this process held for good."""
    before = os.sched_getaffinity(0)
    ask = [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"]
    with made(Profile.ONE_CORE) as how:
        assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "1\n"
        assert how == f"held to core {min(before)} by affinity"
    assert os.sched_getaffinity(0) == before


def test_busy_takes_a_core_and_gives_it_back() -> None:
    """A busy machine that is quiet, or that stays busy."""
    with made(Profile.BUSY):
        (load,) = helpers(foreign_load.__name__)
        assert runs_on(load)
        if LINUX:
            assert load.cpu_affinity() == [max(os.sched_getaffinity(0))]
    assert not load.is_running()


def test_bursts_come_on_every_core() -> None:
    """A burst that leaves a core free, or that never ends."""
    with made(Profile.BURSTS):
        loads = helpers(foreign_load.__name__)
        assert len(loads) == len(limits.cores())
        if LINUX:
            cores = {core for load in loads for core in load.cpu_affinity()}
            assert cores == os.sched_getaffinity(0)
        assert all(runs_on(load) for load in loads)
        begin, before = time.monotonic(), [used(load) for load in loads]
        time.sleep(1)
        spent = time.monotonic() - begin
        # Of a second 0.2 s are a burst at most; a look is as late as the machine is busy.
        assert all(used(load) - was < 0.6 * spent for load, was in zip(loads, before, strict=True))
    assert not any(load.is_running() for load in loads)


@pytest.mark.parametrize("profile", can_be_made("process"))
def test_nothing_is_left_after_an_error(profile: Profile) -> None:
    """A machine that is another for good because a lab has failed on it."""
    before = limits.cores()
    with pytest.raises(ZeroDivisionError), made(profile):
        1 / 0  # noqa: B018
    assert limits.cores() == before
    assert not helpers(foreign_load.__name__) + helpers(duty_cycle.__name__)


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("profile", [Profile.BUSY, Profile.BURSTS, Profile.HALF])
def test_nothing_is_left_when_this_process_is_ended(profile: Profile, ends: int) -> None:
    """A core that stays busy; a kernel that is stopped for ever."""
    code = MAKES.format(profile=str(profile), cycle=profile is Profile.HALF)
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        env=python.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.stdout.close()
    try:
        made_by = [
            *helpers(foreign_load.__name__, parent.pid),
            *helpers(duty_cycle.__name__, parent.pid),
        ]
        assert made_by and works(child)
        parent.send_signal(ends)
        parent.wait(20)
        wait_until(lambda: not any(each.is_running() for each in made_by), 10, "they have gone")
        assert runs_on(child)
    finally:
        child.kill()
        parent.kill()
        parent.wait()


def test_a_helper_that_has_ended_is_told() -> None:
    """A run on a quiet machine that counts as one on a busy machine."""
    with pytest.raises(LabError, match=r"ended with -9 before its time"), made(Profile.BUSY):
        (load,) = helpers(foreign_load.__name__)
        load.kill()
        wait_until(lambda: load.status() == psutil.STATUS_ZOMBIE, 10, "it has ended")


def test_what_cannot_be_made_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is said to be on one core, and whose containers use all."""
    assert can_be_made("docker") == [Profile.QUIET, Profile.BUSY, Profile.BURSTS]
    for profile in (Profile.ONE_CORE, Profile.HALF):
        with pytest.raises(LabError, match=f"{profile} cannot be made here on docker") as refused:
            demand(profile, "docker")
        assert refused.value.hint.startswith("These can be made: quiet, busy, bursts.")
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)  # as macOS
    with pytest.raises(LabError, match="this system holds no process to a core"):
        demand(Profile.ONE_CORE, "process")
    demand(Profile.HALF, "process")


def test_an_unknown_profile_is_refused() -> None:
    """A slip of the keyboard met with a traceback."""
    with pytest.raises(LabError, match=r"no profile 'bussy'\.\nDid you mean busy\?"):
        named("bussy")
    with pytest.raises(LabError, match=r"are: quiet, one-core, half, busy, bursts\."):
        named("x")


def _groups() -> str:
    """The control groups of this process; nothing where there are none."""
    try:
        with open("/proc/self/cgroup") as file:
            return file.read()
    except FileNotFoundError:
        return ""
