"""Whether a disturbance is told where there is one, and only there.

    python tests/bench/bench_disturbance.py

Sends two seconds of traffic to a server again and again: 100 times on this machine as it is, and
ten times each beside another program that keeps a core busy, beside bursts of 0.2 s on all cores
every two seconds, and with the generator stopped for half a second, as on a machine that is paused.
Prints how many recordings say that they were disturbed, how much of the machine others took, and
what sending and watching cost this process. Exits with 1 where more than five in a hundred quiet
ones say so, or where a disturbed one does not. Run it with nothing beside it: what else runs is a
disturbance.
"""

import contextlib
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from lab_services import limits, traffic
from lab_services.runs import foreign_load
from lab_services.waiting import wait_until

QUIET, DISTURBED = 100, 10
RATE, SECONDS = 50, 2.0
FALSE_ALARMS = 0.05
SERVICE = Path(__file__).parents[1] / "traffic"
# Its parent ends at once, so that it is nobody's child here.
START = "import subprocess, sys; subprocess.Popen([sys.executable, '-m', *sys.argv[1:]])"


def main() -> int:
    with server() as url:
        requests = traffic.requests(url, [None])
        send(requests)  # the generator starts
        before, began = time.process_time(), time.monotonic()
        quiet = [send(requests) for _ in range(QUIET)]
        cost = (time.process_time() - before) / (time.monotonic() - began)
        missed = show("quiet", quiet) > FALSE_ALARMS * QUIET
        for name, disturbing in DISTURBANCES.items():
            with disturbing():
                found = [send(requests) for _ in range(DISTURBED)]
            missed |= show(name, found) < DISTURBED
    print(f"sending and watching took {cost:.1%} of a core")
    return int(missed)


def send(requests: list[traffic.Request]) -> traffic.Recording:
    return traffic.send(requests, traffic.constant(RATE, SECONDS))


def show(name: str, recordings: list[traffic.Recording]) -> int:
    """Print what they say of themselves; gives how many were disturbed."""
    told = [words for recording in recordings if (words := recording.disturbed())]
    taken = [
        (each.disturbance.table["stolen"].fillna(0) + each.disturbance.table["foreign"]).mean()
        for each in recordings
    ]
    print(f"{name}: {len(told)} of {len(recordings)} disturbed;", end=" ")
    print(f"others took {statistics.median(taken):.1%}, at most {max(taken):.1%}", flush=True)
    for words in dict.fromkeys(told[:3]):
        print(f"  {words}")
    return len(told)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The service of the tests of traffic."""
    command = [sys.executable, "-m", "uvicorn", "service:app", "--app-dir", str(SERVICE)]
    with subprocess.Popen([*command, "--port", "0", "--log-level", "error"]) as process:
        try:
            yield f"http://127.0.0.1:{wait_until(lambda: port(process.pid), 20, 'it listens')}/"
        finally:
            process.terminate()


def port(pid: int) -> int:
    listening = psutil.Process(pid).net_connections("tcp")
    return next((each.laddr.port for each in listening if each.status == "LISTEN"), 0)


@contextlib.contextmanager
def strangers(cores: list[int], busy: float, every: float) -> Iterator[None]:
    """Programs that are nobody's child, and end when this process closes their input."""
    with contextlib.ExitStack() as started:
        for core in cores:
            words = [foreign_load.__name__, str(core), str(busy), str(every)]
            command = [sys.executable, "-c", START, *words]
            started.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            )
        yield


@contextlib.contextmanager
def pauses() -> Iterator[None]:
    """Stop the generator for half a second of every two."""
    (generator,) = (
        child
        for child in psutil.Process().children()
        if "lab_services.traffic.generator" in child.cmdline()
    )
    ended = threading.Event()

    def pause() -> None:
        while not ended.wait(1.0):
            generator.send_signal(signal.SIGSTOP)
            time.sleep(0.5)
            generator.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=pause)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


DISTURBANCES: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "beside a busy core": lambda: strangers(limits.cores()[-1:], 1, 1),
    "beside bursts of 0.2 s": lambda: strangers(limits.cores(), 0.2, 2),
    "with a generator that is stopped": pauses,
}

if __name__ == "__main__":
    sys.exit(main())
