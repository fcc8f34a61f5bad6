"""The generator process: kept warm, seen through when it lags or dies, and never left behind."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

from lab_services import traffic
from lab_services.errors import LabError
from lab_services.traffic.generators import GeneratorDied, end_idle
from lab_services.traffic.schedules import Schedule
from tests.traffic.conftest import generators_of

SEND = """
import os, sys
from lab_services import traffic

requests = traffic.requests("{url}", [{{}}])
print("ready", flush=True)
try:
    traffic.send(requests, traffic.constant(100, 30), at={{0.5: lambda: print("on", flush=True)}})
except KeyboardInterrupt:
    recording = traffic.last()
    print(len(recording), recording.interrupted, recording.seconds, recording.note, flush=True)
"""


@pytest.fixture
def requests(service):
    return traffic.requests(service.url(), [{}])


def wait_until_sending(process):
    assert process.stdout.readline() == "ready\n"
    assert process.stdout.readline() == "on\n"


def gone(processes, seconds=5.0):
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive


def test_a_generator_is_used_again(requests):
    """Ten short measurements must not start Locust ten times."""
    traffic.send(requests, traffic.constant(100, 0.05))
    first = {process.pid for process in generators_of(os.getpid())}
    traffic.send(requests, traffic.constant(100, 0.05))
    assert first & {process.pid for process in generators_of(os.getpid())}


def test_many_runs_leave_no_growth(requests):
    """Descriptors, threads and memory of caller and generator stay flat."""

    def state():
        processes = [psutil.Process(), *generators_of(os.getpid())]
        handles = [process.num_fds() for process in processes]
        memory = [process.memory_info().rss for process in processes]
        return handles, psutil.Process().num_threads(), memory

    for _ in range(10):
        traffic.send(requests, traffic.constant(500, 0.1))
    handles, threads, memory = state()
    for _ in range(30):
        traffic.send(requests, traffic.constant(500, 0.1))
    after = state()
    # What the tests before have left in the generator may go meanwhile: that is no growth.
    assert all(now <= before for now, before in zip(after[0], handles, strict=True))
    assert after[1] == threads
    for now, then in zip(after[2], memory, strict=True):
        assert now - then < 4e6


def test_a_generator_that_died_in_its_sleep_is_replaced(requests):
    traffic.send(requests, traffic.constant(100, 0.05))
    asleep = generators_of(os.getpid())
    for process in asleep:
        process.kill()
    assert gone(asleep)
    assert traffic.send(requests, traffic.constant(100, 0.05)).table["ok"].all()


def test_a_generator_that_dies_says_so_and_leaves_its_rows(requests):
    """What was measured before is kept; the next run has a new generator."""

    def kill():
        for process in generators_of(os.getpid()):
            process.kill()

    end_idle()
    with pytest.raises(GeneratorDied, match="signal 9"):
        traffic.send(requests, traffic.constant(100, 20), at={1.0: kill})
    kept = traffic.last()
    assert kept.interrupted
    assert 20 <= len(kept) < 2000
    assert "died" in kept.note
    assert traffic.send(requests, traffic.constant(100, 0.05)).table["ok"].all()


def test_a_fault_inside_a_generator_is_told_with_its_last_lines(requests, monkeypatch):
    """A row must not be lost without a word."""
    from lab_services.traffic import running

    monkeypatch.setattr(running, "_servers", lambda requests: {})
    with pytest.raises(GeneratorDied, match="exit code 1") as caught:
        traffic.send(requests, traffic.constant(100, 1))
    assert "KeyError" in caught.value.hint


@pytest.fixture
def altered(tmp_path, monkeypatch):
    """Have all generators of a test run this code before their own."""

    def alter(code):
        program, script = tmp_path / "generator", tmp_path / "generator.py"
        # A shell between: a first line of `#!` splits a path at its spaces.
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "{script}" "$@"\n')
        script.write_text(
            f"from lab_services.traffic.generator.__main__ import main\n{code}\nmain()\n"
        )
        program.chmod(0o700)
        end_idle()
        monkeypatch.setattr(sys, "executable", str(program))

    yield alter
    end_idle()


DEAF = "import time\ndef main(): time.sleep(60)"
MUTE = (
    "from lab_services.traffic.generator.frame_writer import FrameWriter\n"
    "put = FrameWriter.put\n"
    "FrameWriter.put = lambda self, kind, *more: kind == 'done' or put(self, kind, *more)"
)
ENDLESS = (
    "import sys\n"
    "module = sys.modules['lab_services.traffic.generator.__main__']\n"
    "open_loop = module.open_loop\n"
    "module.open_loop = lambda *most: open_loop(*most[:-1], lambda: None)"
)


def open_for_a_moment(requests):
    return traffic.send(requests, traffic.constant(100, 0.1), timeout=0.1)


def closed_for_a_moment(requests):
    return traffic.closed_loop(requests, users=2, seconds=0.1, processes=2)


@pytest.mark.parametrize(
    ("code", "send", "bounds", "said"),
    [
        (DEAF, open_for_a_moment, {"_STARTING": 0.3}, "is not 'ready' after 0.3 s"),
        (DEAF, closed_for_a_moment, {"_STARTING": 0.3}, "is not 'listening' after 0.3 s"),
        (MUTE, open_for_a_moment, {"_SILENCE": 1.0}, "has said nothing for 1 s"),
        (MUTE, closed_for_a_moment, {"_SILENCE": 1.0}, "has said nothing for 1 s"),
        (
            ENDLESS,
            open_for_a_moment,
            {"_longest": lambda _: 1.0},
            "is at work 1 s after the beginning",
        ),
    ],
)
def test_no_wait_for_a_generator_is_for_ever(
    requests, altered, monkeypatch, code, send, bounds, said
):
    """A cell that hung until somebody interrupted it, and said nothing."""
    from lab_services.traffic import running

    altered(code)
    for name, bound in bounds.items():
        monkeypatch.setattr(running._Run if callable(bound) else running, name, bound)
    with pytest.raises(GeneratorDied, match=said) as caught:
        send(requests)
    assert "run it again" in caught.value.hint
    assert not generators_of(os.getpid())


def test_a_master_goes_with_its_run(requests):
    """Each closed loop of several processes left one more, until the notebook's end."""
    end_idle()
    closed_for_a_moment(requests)
    assert not generators_of(os.getpid())


def test_a_generator_that_is_stopped_is_ended_and_its_rows_are_kept(requests, monkeypatch):
    """A process stopped from outside, as by a debugger or a full machine, held the notebook."""
    from lab_services.traffic import running

    def stop():
        for process in generators_of(os.getpid()):
            process.suspend()

    monkeypatch.setattr(running, "_SILENCE", 1.0)
    with pytest.raises(GeneratorDied, match="has said nothing"):
        traffic.send(requests, traffic.constant(100, 20), at={0.5: stop})
    assert traffic.last().interrupted
    assert len(traffic.last()) >= 20
    monkeypatch.undo()
    assert traffic.send(requests, traffic.constant(100, 0.05)).table["ok"].all()


@pytest.mark.alone
def test_a_caller_that_stood_still_blames_no_generator(script, service):
    """Ctrl-Z and fg, or a paused machine: the caller's own silence, taken for a generator's."""
    process = script(
        "from lab_services.traffic import running\n"
        "running._SILENCE, running._STOOD_STILL = 1.5, 0.5\n" + SEND.format(url=service.url())
    )
    wait_until_sending(process)
    (generator,) = generators_of(process.pid)
    caller = psutil.Process(process.pid)
    generator.suspend()
    caller.suspend()
    time.sleep(2.0)
    caller.resume()
    time.sleep(0.5)  # the caller looks first
    generator.resume()
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 0, output
    assert "Interrupted after" in output


def test_a_stopped_generator_does_not_hold_who_tells_it(service, requests, monkeypatch):
    """A plan that is larger than the pipe, for a generator that reads nothing."""
    from lab_services.traffic import generators

    traffic.send(requests, traffic.constant(100, 0.05))
    for process in generators_of(os.getpid()):
        process.suspend()
    monkeypatch.setattr(generators, "_TAKING", 0.2)
    large = traffic.requests(service.url(), [{"text": "x" * 1_000_000}])
    with pytest.raises(GeneratorDied, match=r"has taken nothing for 0\.2 s"):
        traffic.send(large, traffic.constant(100, 0.05))


def test_an_action_without_an_end_is_told(requests, monkeypatch):
    """A fault that never returned held the cell; the recording was there and nobody saw it."""
    from lab_services.traffic import running

    monkeypatch.setattr(running, "_ACTION", 0.2)
    held = threading.Event()
    with pytest.raises(LabError, match=r"The action at 0\.05 s goes on 0\.2 s after") as caught:
        traffic.send(requests, traffic.constant(100, 0.1), at={0.05: held.wait})
    held.set()
    assert "time limit" in caught.value.hint and "thread lives on" in caught.value.hint
    assert len(traffic.last()) == 10 and not traffic.last().interrupted


def test_an_action_that_has_not_begun_is_waited_for(requests, monkeypatch):
    """One that was to act long after the last answer, called endless, and acting all the same."""
    from lab_services.traffic import running

    monkeypatch.setattr(running, "_ACTION", 0.2)
    acted = []
    schedule = Schedule(np.array([0.0, 0.01]), 1.0, "early")
    traffic.send(requests, schedule, at={0.9: lambda: acted.append("once")})
    assert acted == ["once"]


def test_what_an_action_raised_is_told_with_a_dead_generator(requests):
    """The cause of a generator's death, dropped for the death."""

    def kill():
        for process in generators_of(os.getpid()):
            process.kill()
        raise LookupError("killed the wrong one")

    with pytest.raises(GeneratorDied) as caught:
        traffic.send(requests, traffic.constant(100, 20), at={0.5: kill})
    (note,) = caught.value.__notes__
    assert note.startswith("LookupError: killed the wrong one\nRaised by the action at 0.5 s")


@pytest.mark.parametrize(
    "send",
    [
        lambda requests: traffic.closed_loop(requests, users=2, seconds=1),
        lambda requests: traffic.closed_loop(requests, users=2, count=10),
        lambda requests: traffic.send(requests, traffic.constant(100, 1)),
    ],
)
def test_a_fault_of_the_recorder_ends_the_run(requests, altered, send):
    """Locust logs what a listener of its events raises, and goes on without the row."""
    altered(
        "from lab_services.traffic.generator.recorder import Recorder\n"
        "def fail(*_, **__): raise ValueError('no room for the row')\n"
        "Recorder.add = fail"
    )
    with pytest.raises(GeneratorDied, match="exit code 1") as caught:
        send(requests)
    assert "no room for the row" in caught.value.hint


@pytest.mark.alone
def test_a_worker_that_is_through_leaves_its_users_to_nobody(service, altered):
    """Locust's master gives the users of a worker that it misses to the others."""
    altered(
        "from locust import runners\n"
        "runners.HEARTBEAT_INTERVAL, runners.HEARTBEAT_DEAD_INTERNAL = 0.05, -2"
    )
    quick, hanging = (traffic.requests(service.url(path), [{}]) for path in ("/predict", "/hang"))
    recording = traffic.closed_loop(
        traffic.interleave(quick, hanging), users=2, count=6, processes=2, timeout=0.8
    )
    given_up = recording.table[~recording.table["ok"]]
    assert len(given_up) == 3
    assert (given_up["started"].diff().dropna() > 0.7).all()


def test_a_late_generator_is_found_out(requests):
    """Its lateness must not pass for the service's slowness."""

    def hold():
        for process in generators_of(os.getpid()):
            process.suspend()
        time.sleep(0.4)
        for process in generators_of(os.getpid()):
            process.resume()

    recording = traffic.send(requests, traffic.constant(100, 1), at={0.2: hold})
    assert recording.late
    assert "fell behind" in recording.note
    assert recording.lateness[1.0] > 0.3
    assert len(recording) == 100


@pytest.mark.alone
def test_more_than_all_connections_wait_and_are_told(script, service):
    """With too few connections an arrival is late or not sent, but never without a row."""
    process = script(
        f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (192, 192))
from lab_services import traffic
requests = traffic.requests("{service.url("/hang")}", [{{}}])
recording = traffic.send(requests, traffic.constant(200, 0.5), timeout=1.0)
print(len(recording), recording.late, recording.note)
print(recording.table["error"].value_counts().to_dict())
"""
    )
    output, _ = process.communicate(timeout=30)
    assert output.startswith("100 True")
    assert "68 requests waited, because all 32 connections" in output
    assert output.endswith("{'no answer within 1 s': 100}\n")


def test_an_interrupt_keeps_what_was_recorded(script, service):
    """Ctrl-C goes to all of the terminal's processes, and must not reach the generator."""
    process = script(SEND.format(url=service.url()))
    wait_until_sending(process)
    generators = generators_of(process.pid)
    assert generators
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=10)
    rows, interrupted, seconds, note = output.strip().split(" ", 3)
    assert int(rows) >= 20
    assert interrupted == "True"
    assert 0.4 < float(seconds) < 5
    assert re.search(r"Interrupted after \d\.\d of 30 s\.", note)
    assert process.returncode == 0
    assert gone(generators)
    assert not os.listdir(script.folder)


def test_an_interrupted_count_says_how_far_it_came(script, service):
    """Of a number of requests, seconds would not say what is missing."""
    process = script(
        f"""
from lab_services import traffic

requests = traffic.requests("{service.url("/slow")}", [{{}}])
print("ready", flush=True)
try:
    traffic.closed_loop(requests, users=2, count=1000, warmup=0.2)
except KeyboardInterrupt:
    recording = traffic.last()
    print(len(recording.measured), recording.seconds, recording.note, flush=True)
"""
    )
    assert process.stdout.readline() == "ready\n"
    while len(service.seen()) < 2:
        time.sleep(0.05)
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=10)
    rows, seconds, note = output.strip().split(" ", 2)
    assert 1 <= int(rows) < 1000
    assert 0.4 < float(seconds) < 10
    assert note == f"Interrupted after {rows} of 1000 requests."
    assert process.returncode == 0


def test_a_killed_caller_leaves_nothing(script, service):
    """Neither a process nor a file, after kill -9 in the middle of a run."""
    process = script(SEND.format(url=service.url()))
    wait_until_sending(process)
    generators = generators_of(process.pid)
    assert generators
    process.kill()
    assert gone(generators)
    assert not os.listdir(script.folder)
    service.seen()
    time.sleep(0.3)
    assert not service.seen()


def test_a_killed_caller_leaves_no_idle_generator(script, service):
    """Between two runs nothing is written, so that only the closed input tells."""
    process = script(
        f"""
import time
from lab_services import traffic
traffic.send(traffic.requests("{service.url()}", [{{}}]), traffic.constant(100, 0.05))
print("idle", flush=True)
time.sleep(60)
"""
    )
    assert process.stdout.readline() == "idle\n"
    generators = generators_of(process.pid)
    assert generators
    process.kill()
    assert gone(generators)


def test_the_caller_never_imports_locust(service):
    """Locust patches the threads of the process that imports it: a kernel would hang."""
    code = f"""
import sys
from lab_services import traffic
traffic.send(traffic.requests("{service.url()}", [{{}}]), traffic.constant(100, 0.05))
assert not {{"locust", "gevent"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_generator_starts_without_pandas():
    """It would double the time and the memory of its start."""
    code = """
import sys
import lab_services.traffic.generator.__main__
assert "locust" in sys.modules
assert not {"pandas", "numpy", "matplotlib"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_file_of_the_users_folder_does_not_stand_in_for_a_module(tmp_path, service):
    """A notebook beside a locust.py must still run."""
    (tmp_path / "locust.py").write_text("raise SystemExit('the wrong locust')")
    code = f"""
from lab_services import traffic
traffic.send(traffic.requests("{service.url()}", [{{}}]), traffic.constant(100, 0.05))
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=30, cwd=tmp_path)


@pytest.mark.alone
@pytest.mark.parametrize("name", ["SleepTimer", "Timer"])
def test_an_alarm_never_rings_early(name):
    """Requests before their time would make a schedule of their own; macOS takes SleepTimer."""
    code = f"""
import time
from lab_services.traffic.generator.timer import {name}
timer = {name}()
late = []
for number in range(40):
    moment = time.monotonic() + number * 0.0005
    timer.sleep_until(moment)
    late.append(time.monotonic() - moment)
timer.close()
assert min(late) >= 0, late
assert sorted(late)[20] < 0.01, late
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
