"""Six services as plain processes against the same six commands started by a shell.

python tests/bench/bench_start.py

The shell starts the six side by side, with the same byte code, arguments and environment that the
stack gives them; they are asked until all have answered. The stack's first start includes that of
its supervisor and zygote, as in a fresh notebook; the second is another stack of the same notebook.
The ways take turns, and each round's ratios are taken within the round. Memory counts shared pages
once. Exits with 1 when a ratio is above its bar.
"""

import contextlib
import io
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from lab_services.models import build
from lab_services.paths import models_dir
from lab_services.stack import Stack, compose, supervisor_client
from lab_services.stack.process import ProcessRuntime
from lab_services.stack.readiness import answers
from lab_services.stack.zygote_client import Child

ROUNDS = 9
BARS = {"first stack": 0.5, "second stack": 0.25}
SIX = Path(__file__).parent / "six" / "compose.yaml"


class Taken(NamedTuple):
    """One start: seconds until all six have answered, bytes that they use then."""

    seconds: float
    memory: int


class Written:
    """In the zygote's place: writes each command into a script for the shell."""

    def __init__(self, script: Path) -> None:
        self.script = script

    def start(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        cores: Sequence[int] = (),
    ) -> Child:
        variables = [f"{name}={value}" for name, value in environment.items()]
        command = shlex.join(["env", "-i", *variables, *argv])
        with self.script.open("a") as script:
            script.write(
                f"cd {shlex.quote(str(folder))}; {command} >{shlex.quote(str(log))} 2>&1 &\n"
            )
        return Child(2**22)


def main() -> int:
    build.ensure("good", report=print)
    rounds = []
    for _ in range(ROUNDS + 1):
        taken = {"shell": shell()}
        first = Stack(str(SIX), "process")
        taken["first stack"] = stack(first)
        second = Stack(str(SIX), "process")
        taken["second stack"] = stack(second, less=taken["first stack"].memory)
        supervisor_client.own_supervisor().close()
        rounds.append(taken)
    del rounds[0]  # it reads everything from the disk
    missed = False
    print(f"{'way':14}{'seconds':>9}{'to the shell':>14}{'quartiles':>15}{'MB':>7}  bar")
    for way in rounds[0]:
        seconds = statistics.median(taken[way].seconds for taken in rounds)
        ratios = [taken[way].seconds / taken["shell"].seconds for taken in rounds]
        low, ratio, high = statistics.quantiles(ratios, n=4)
        memory = statistics.median(taken[way].memory for taken in rounds) / 1e6
        bar = BARS.get(way)
        above = bar is not None and ratio > bar
        missed |= above
        verdict = "" if bar is None else f"<= {bar}{' MISSED' if above else ''}"
        spread = f"{low:.2f} to {high:.2f}"
        print(f"{way:14}{seconds:9.2f}{ratio:14.2f}{spread:>15}{memory:7.0f}  {verdict}")
    return int(missed)


def stack(one: Stack, less: int = 0) -> Taken:
    """Up to the moment when `up` returns; memory with the supervisor's and the zygote's."""
    begin = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        one.up()
    seconds = time.perf_counter() - begin
    supervisor = psutil.Process(supervisor_client.own_supervisor().info.pid)
    return Taken(seconds, memory(supervisor) - less)


def shell() -> Taken:
    """The six commands, started by one shell and polled as the stack polls them."""
    folder = Path(tempfile.mkdtemp())
    script = folder / "start.sh"
    variables = {**os.environ, "LAB_MODELS": str(models_dir())}
    runtime = ProcessRuntime(compose.read(SIX, variables), "shell", folder, Written(script))
    runtime.prepare(lambda text: None)
    runtime.launch({name: service.replicas for name, service in runtime.services.items()})
    with script.open("a") as file:
        file.write("wait\n")
    waiting = [
        (service.probe, runtime.address(name, None)) for name, service in runtime.services.items()
    ]
    begin = time.perf_counter()
    process = subprocess.Popen(["sh", str(script)], start_new_session=True)
    try:
        while waiting:
            waiting = [
                (p, a) for p, a in waiting if p and not answers(p, int(a.rpartition(":")[2]))
            ]
            time.sleep(0.02)
        return Taken(time.perf_counter() - begin, memory(psutil.Process(process.pid)))
    finally:
        runtime.closing.set()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder)


def memory(parent: psutil.Process) -> int:
    """Bytes of a process and all below it."""
    details = [p.memory_full_info() for p in (parent, *parent.children(recursive=True))]
    return sum(getattr(detail, "pss", detail.rss) for detail in details)


if __name__ == "__main__":
    sys.exit(main())
