"""What else the machine did: seen where it is, told where a measurement cannot bear it."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pandas as pd
import psutil
import pytest

from lab_services import limits, report, traffic
from lab_services.processor_time import SHARED
from lab_services.runs import foreign_load
from lab_services.traffic import machine_watch
from lab_services.traffic.disturbance import COLUMNS, Disturbance
from tests.recordings import recorded
from tests.traffic.conftest import Service, generators_of

QUIET: dict[str, float | str] = {
    "seconds": 0.25,
    "stolen": 0.01,
    "foreign": 0.02,
    "throttled": 0.0,
    "jumped": 0.0,
    "swapped": 0.0,
    "stood_still": 0.0,
    "culprit": "",
}
BEGIN = 1.8e9  # as large as Unix times are, of which a thousandth counts
# Starts a program whose parent ends at once, so that it is nobody's child here; it ends when its
# standard input closes, which is ours.
START = "import subprocess, sys; subprocess.Popen([sys.executable, '-m', *sys.argv[1:]])"
LOAD = foreign_load.__name__
SPIN = "while True: pass"


def slices(*special: dict[str, float | str], quiet: int = 40) -> Disturbance:
    """Quiet slices, and then some that differ from them."""
    every = [{**QUIET, **more} for more in [{}] * quiet + list(special)]
    table = pd.DataFrame(every).assign(begin=lambda t: BEGIN + 0.25 * t.index)
    return Disturbance(table[[*COLUMNS]])


BUSY: dict[str, float | str] = {"foreign": 0.99, "culprit": "cc1plus"}


@pytest.mark.parametrize(
    ("special", "words"),
    [
        (BUSY, "of this machine went to something else, most of it to cc1plus"),
        ({"stolen": 0.99}, "went to something else, most of it to its host"),
        ({"throttled": 0.99}, "its quota held this process back in"),
        ({"stood_still": 0.24}, "the generator was not run for 1.0 s"),
        ({"swapped": 5e6}, "20 MB were swapped"),
    ],
)
def test_each_kind_is_named_where_it_is_not_borne(
    special: dict[str, float | str], words: str
) -> None:
    """Four slices of 44 are 9 % of the time: too much for a share, and not for a median."""
    found = slices(*[special] * 4)
    assert words in found.note(0.08)
    assert found.note(0.1) == "" and slices().note(0.0) == ""


@pytest.mark.parametrize(
    ("special", "lost"),
    [
        # What any machine does besides, and what counting in ticks errs.
        ({"foreign": 0.1, "stolen": 0.09}, 0.0),
        ({"foreign": 0.2, "stolen": 0.1}, 0.125),
        ({"throttled": 0.19}, 0.0),
        ({"throttled": 0.36}, 0.2),
        ({"stood_still": 0.05}, 0.2),
        ({"swapped": 4.1e6}, 0.0),
        ({"swapped": 4.3e6}, 1.0),
        ({"jumped": -0.04}, 0.0),
    ],
)
def test_how_much_is_lost(special: dict[str, float | str], lost: float) -> None:
    """A machine that is as it always is called disturbed; a fifth of it gone that nobody tells."""
    found = slices(*[special] * 20, quiet=0)
    assert found.note(lost + 0.01) == ""
    assert bool(found.note(max(0.0, lost - 0.01))) == (lost > 0)


def test_a_clock_that_was_set_is_always_told() -> None:
    """Latencies do not feel it; when a fault began is not known any more."""
    assert "the clock was set by 0.06 s" in slices({"jumped": -0.06}).note(0.5)


def test_what_cannot_be_seen_is_said() -> None:
    """macOS tells of no host, and a machine without control groups of no quota."""
    blind = slices(*[BUSY] * 4)
    blind.table[["stolen", "throttled"]] = math.nan
    assert "most of it to cc1plus" in blind.note()
    assert [words.split()[0] for words in blind.unseen] == ["time", "whether"]
    assert slices().unseen == Disturbance().unseen == []
    # A container without a name of what runs beside it.
    assert slices(*[{"foreign": 0.9}] * 4).note().endswith("went to something else.")


def test_who_used_most_of_what_was_taken_is_the_culprit() -> None:
    """A browser that has used a little for long, beside what took the whole machine."""
    browser: dict[str, float | str] = {"foreign": 0.15, "culprit": "chromium"}
    found = slices(*[browser] * 5, *[BUSY] * 3)
    assert "most of it to cc1plus" in found.note()


def test_only_the_own_time_counts() -> None:
    """A part of a recording lacks evidence for what disturbed another part."""
    found = slices(*[BUSY] * 4)
    assert found.spans() == [(BEGIN + 10, BEGIN + 11)]
    assert found.within(BEGIN, BEGIN + 9.9).note() == ""
    assert found.within(BEGIN + 9.5, BEGIN + 11).note()
    apart = slices({"stolen": 0.9}, {}, {"foreign": 0.5}, {"throttled": 1.0}, quiet=1)
    assert apart.spans() == [(BEGIN + 0.25, BEGIN + 0.5), (BEGIN + 0.75, BEGIN + 1.25)]
    assert Disturbance().note() == "" and Disturbance().within(0, 1).spans() == []


def test_recordings_that_were_joined_have_each_slice_once_and_in_order() -> None:
    """Two parts of one recording whose disturbance counts twice; arms that took turns."""
    first, second = slices({"foreign": 0.9}, quiet=1), slices({"foreign": 0.9}, quiet=1)
    second.table["begin"] += 60
    both = Disturbance.together([second, first, first])
    assert both.spans() == [(BEGIN + 0.25, BEGIN + 0.5), (BEGIN + 60.25, BEGIN + 60.5)]
    assert len(both.table) == 4


def test_it_is_kept_with_the_recording(tmp_path: Path) -> None:
    intended = [BEGIN + 5, BEGIN + 10.5]
    table = pd.DataFrame(
        {"intended": intended, "latency": 0.1, "ok": True, "warmup": False, "part": [0, 1]}
    )
    disturbance = slices(*[BUSY] * 4)
    disturbance.table["stolen"] = math.nan
    recording = traffic.Recording(table, BEGIN, 11.0, disturbance=disturbance)
    again = traffic.Recording.load(recording.save(tmp_path / "a.csv.gz"))
    assert again.disturbance.as_json() == disturbance.as_json()
    json.dumps(again.disturbance.as_json(), allow_nan=False)
    assert again.disturbed() == recording.disturbed() != ""
    assert again.where(part=0).disturbed() == "" != again.where(part=1).disturbed()
    assert len(traffic.Recording.join([recording, again]).disturbance.table) == 44


def test_a_high_quantile_bears_less_than_a_median() -> None:
    """Half a second of a recording of ten: nothing to a median, and all of a p95."""
    rows = [(BEGIN + number / 100, 0.01, 200) for number in range(1000)]
    found = replace(recorded(rows), disturbance=slices(*[BUSY] * 2, quiet=38))
    noted = [bool(s(found).note) for s in (report.P50, report.P95, report.MEAN, report.THROUGHPUT)]
    assert noted == [False, True, True, False]
    assert bool(report.ratio(found, recorded(rows), report.P95).note)


# From here on the machine itself is watched.


@pytest.fixture
def stranger() -> Iterator[Callable[..., None]]:
    """Starts `foreign_load` as nobody's child: CORE BUSY EVERY, and what else it is told."""
    if not machine_watch._sees_others():
        pytest.skip("This is a container: what runs beside it cannot be seen.")
    with ExitStack() as started:

        def start(core: int, busy: float, every: float, *words: str) -> None:
            command = [sys.executable, "-c", START, LOAD, *map(str, (core, busy, every)), *words]
            pipe = subprocess.PIPE
            parent = started.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe))
            assert parent.stdout is not None and parent.stdout.readline() == b"begun\n"

        yield start


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a lab is measured: what others do is watched."""
    monkeypatch.delenv(SHARED, raising=False)


def sent(service: Service, seconds: float = 4.0) -> traffic.Recording:
    return traffic.send(traffic.requests(service.url(), [None]), traffic.constant(50, seconds))


@pytest.mark.alone
@pytest.mark.usefixtures("alone")
def test_a_busy_core_is_seen(service: Service, stranger: Callable[..., None]) -> None:
    """The generator keeps its schedule beside it, and nothing else would tell."""
    stranger(limits.cores()[-1], 1, 1)
    found = sent(service)
    assert "of this machine went to something else" in found.disturbed()
    assert found.disturbance.table["foreign"].mean() > 0.7 / (psutil.cpu_count() or 1)
    assert f"most of it to python -m {LOAD}" in found.disturbed()


@pytest.mark.alone
@pytest.mark.usefixtures("alone")
def test_bursts_are_seen(service: Service, stranger: Callable[..., None]) -> None:
    """A tenth of the time, on every core: a mean over all of it would hardly show it."""
    for core in limits.cores():
        stranger(core, 0.2, 2)
    found = sent(service, 6.0)
    assert found.disturbed() and len(found.disturbance.spans()) >= 2


@pytest.mark.alone
@pytest.mark.usefixtures("alone")
def test_a_pause_is_seen(service: Service) -> None:
    """A machine that stands still tells nobody; here its generator does."""

    def pause() -> None:
        (generator,) = generators_of(os.getpid())
        generator.send_signal(signal.SIGSTOP)
        time.sleep(0.8)
        generator.send_signal(signal.SIGCONT)

    sent(service, 0.5)  # starts the generator
    timer = threading.Timer(1.0, pause)
    timer.start()
    found = sent(service)
    timer.join()
    assert "the generator was not run for" in found.disturbed()
    assert 0.6 < found.disturbance.table["stood_still"].sum() < 1.2


@pytest.mark.alone
@pytest.mark.usefixtures("alone")
def test_what_is_ours_is_not_foreign(service: Service, tmp_path: Path) -> None:
    """A process that is started meanwhile, such as a replica, taken for a stranger's."""
    program = tmp_path / "our-replica"
    program.symlink_to(sys.executable)
    busy: list[subprocess.Popen[bytes]] = []
    recording = traffic.send(
        traffic.requests(service.url(), [None]),
        traffic.constant(50, 3),
        at={1: lambda: busy.append(subprocess.Popen([str(program), "-c", SPIN]))},
    )
    busy[0].kill()
    busy[0].wait()
    found = recording.disturbance.table
    # Whatever others do meanwhile: it is not what used most, although it spins for two seconds.
    assert not found["culprit"].str.contains("our-replica").any()


@pytest.mark.alone
@pytest.mark.usefixtures("alone")
def test_a_stack_of_another_terminal_is_not_foreign(
    service: Service, stranger: Callable[..., None], tmp_path: Path
) -> None:
    """`lab up` in one terminal and `lab load` in another: the service under test as a culprit."""
    # As a supervisor is started: Python with the module's name in its command.
    stranger(limits.cores()[-1], 1, 1, "lab_services.stack.supervisor")
    assert not sent(service).disturbance.table["culprit"].str.contains("supervisor").any()


def test_on_a_shared_machine_others_are_not_looked_at(
    service: Service, stranger: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was made busy on purpose, on which nothing could be judged."""
    monkeypatch.setenv(SHARED, "1")
    stranger(limits.cores()[-1], 1, 1)
    found = sent(service, 1.0)
    assert found.disturbance.table[["foreign", "throttled"]].isna().all(axis=None)
    assert "what other programs use" in found.disturbance.unseen
    monkeypatch.setenv(SHARED, "0")
    assert "what other programs use" not in sent(service, 1.0).disturbance.unseen
