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
from pathlib import Path

import pandas as pd
import psutil
import pytest

from lab_services import traffic
from lab_services.processor_time import SHARED
from lab_services.traffic.disturbance import COLUMNS, Disturbance
from tests.traffic.conftest import Service, generators_of

QUIET = {
    "seconds": 0.25,
    "stolen": 0.01,
    "foreign": 0.02,
    "throttled": 0.0,
    "jumped": 0.0,
    "swapped": 0.0,
    "stood_still": 0.0,
}
BEGIN = 1.8e9  # as large as Unix times are, of which a thousandth counts
# A foreign process: its parent has ended, so it is no child of this one.
STRANGER = """import subprocess, sys
nowhere = subprocess.DEVNULL
print(subprocess.Popen([sys.executable, "-c", {code!r}], stdout=nowhere, stderr=nowhere).pid)"""
SPIN = "while True: pass"
BURSTS = """import time
while True:
    until = time.monotonic() + 0.2
    while time.monotonic() < until: pass
    time.sleep(1.8)"""


def slices(*special: dict[str, float], quiet: int = 40) -> Disturbance:
    """Quiet slices, and then some that differ from them."""
    every = [{**QUIET, **more} for more in [{}] * quiet + list(special)]
    table = pd.DataFrame(every).assign(begin=lambda t: BEGIN + 0.25 * t.index)
    return Disturbance(table[[*COLUMNS]], {"cc1plus": 3.0, "sh": 0.1})


@pytest.mark.parametrize(
    ("special", "words"),
    [
        ({"foreign": 0.9}, "% of this machine went to something else, most of it to cc1plus"),
        ({"stolen": 0.9}, "went to something else, most of it to its host"),
        ({"throttled": 0.5}, "its quota held this process back for"),
        ({"stood_still": 0.2}, "the generator was not run for 0.8 s"),
        ({"jumped": -0.3}, "the clock was set by 0.3 s"),
        ({"swapped": 1e7}, "40 MB were swapped"),
    ],
)
def test_each_kind_is_named(special: dict[str, float], words: str) -> None:
    """A tenth of the time is more than a p95 bears."""
    assert words in slices(*[special] * 4).note


@pytest.mark.parametrize("special", [{}, {"foreign": 0.9}, {"stolen": 0.9}, {"stood_still": 0.2}])
def test_a_single_slice_of_many_is_borne(special: dict[str, float]) -> None:
    assert slices(special).note == ""


def test_much_in_small_pieces_is_not_borne() -> None:
    """No slice stands out, and a fifth of the machine is gone."""
    assert "19% of this machine" in slices(*[{"foreign": 0.2, "stolen": 0.01}] * 40, quiet=5).note


def test_what_cannot_be_seen_is_said() -> None:
    """macOS tells of no host, and a machine without control groups of no quota."""
    blind = slices({"foreign": 0.9}, {"foreign": 0.9}, {"foreign": 0.9})
    blind.table[["stolen", "throttled"]] = math.nan
    assert "most of it to cc1plus" in blind.note
    assert [words.split()[0] for words in blind.unseen] == ["time", "whether"]
    assert slices().unseen == Disturbance().unseen == []


def test_only_the_own_time_counts() -> None:
    """A part of a recording lacks evidence for what disturbed another part."""
    found = slices(*[{"foreign": 0.9}] * 4)
    assert found.spans() == [(BEGIN + 10, BEGIN + 11)]
    assert found.within(BEGIN, BEGIN + 9.9).note == ""
    assert found.within(BEGIN + 9.5, BEGIN + 11).note
    apart = slices({"stolen": 0.9}, {}, {"foreign": 0.5}, {"jumped": 1.0}, quiet=1)
    assert apart.spans() == [(BEGIN + 0.25, BEGIN + 0.5), (BEGIN + 0.75, BEGIN + 1.25)]
    assert Disturbance().note == "" and Disturbance().within(0, 1).spans() == []


def test_it_is_kept_with_the_recording(tmp_path) -> None:
    table = pd.DataFrame(
        {
            "intended": [BEGIN + 5, BEGIN + 10.5],
            "latency": 0.1,
            "ok": True,
            "warmup": False,
            "part": [0, 1],
        }
    )
    disturbance = slices(*[{"foreign": 0.9}] * 4)
    disturbance.table["stolen"] = math.nan
    recording = traffic.Recording(table, BEGIN, 11.0, disturbance=disturbance)
    again = traffic.Recording.load(recording.save(tmp_path / "a.csv.gz"))
    assert again.disturbance.as_json() == disturbance.as_json()
    json.dumps(again.disturbance.as_json(), allow_nan=False)
    assert again.disturbed == recording.disturbed != ""
    assert again.where(part=0).disturbed == "" != again.where(part=1).disturbed
    joined = traffic.Recording.join([recording, recording])
    assert len(joined.disturbance.table) == 2 * len(disturbance.table)
    assert joined.disturbance.culprits["cc1plus"] == 6


# From here on the machine itself is watched.


@pytest.fixture
def stranger() -> Iterator[Callable[[str], None]]:
    """Starts programs that are nobody's child."""
    started: list[psutil.Process] = []

    def start(code: str) -> None:
        command = [sys.executable, "-c", STRANGER.format(code=code)]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        started.append(psutil.Process(int(told.stdout)))

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a lab is measured: what others do is watched."""
    monkeypatch.delenv(SHARED, raising=False)


def sent(service: Service, seconds: float = 4.0) -> traffic.Recording:
    return traffic.send(traffic.requests(service.url(), [None]), traffic.constant(50, seconds))


@pytest.mark.alone
@pytest.mark.usefixtures("alone")
def test_a_busy_core_is_seen(service: Service, stranger: Callable[[str], None]) -> None:
    """The generator keeps its schedule beside it, and nothing else would tell."""
    stranger(SPIN)
    found = sent(service)
    assert "of this machine went to something else" in found.disturbed
    assert found.disturbance.table["foreign"].mean() > 0.7 / (psutil.cpu_count() or 1)
    assert "python" in found.disturbance.culprits


@pytest.mark.alone
@pytest.mark.usefixtures("alone")
def test_bursts_are_seen(service: Service, stranger: Callable[[str], None]) -> None:
    """A tenth of the time, on every core: a mean over all of it would hardly show it."""
    for _ in range(psutil.cpu_count() or 1):
        stranger(BURSTS)
    found = sent(service, 6.0)
    assert found.disturbed and len(found.disturbance.spans()) >= 2


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
    assert "the generator was not run for 0." in found.disturbed
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
    found = recording.disturbance
    assert "our-replica" not in found.culprits
    # It spins for two of the three seconds; what others do meanwhile is theirs.
    others = sum(found.culprits.values()) / (3 * (psutil.cpu_count() or 1))
    assert found.table["foreign"].mean() < others + 0.15


def test_on_a_shared_machine_others_belong_to_it(
    service: Service, stranger: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was made busy on purpose, on which nothing could be judged."""
    monkeypatch.setenv(SHARED, "1")
    stranger(SPIN)
    found = sent(service, 1.0)
    assert (found.disturbance.table["foreign"] == 0).all()
