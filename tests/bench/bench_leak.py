"""A stack of six services up and down many times in a row: nothing grows.

python tests/bench/bench_leak.py [ROUNDS]

Looked at after every round, in the client (this process), the supervisor and the zygote. After WARM
rounds, in which pools fill and modules load:

- file descriptors, threads and child processes do not grow at all;
- memory of its own (not that of files, which depends on who else has them open) grows by at most
  GROWTH.

What grows is the median of the last ten rounds above that of the first ten.

Nothing but the supervisor's own three files is left in its folder, nothing on the engine.
Exits with 1 when something grows.
"""

import contextlib
import io
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

import psutil

from lab_services.models import build
from lab_services.stack import Stack, docker, supervisor_client

ROUNDS = {"process": 100, "docker": 20}
WARM = 10
# Bytes. With Docker the supervisor asks the engine through threads that come and go: what malloc
# keeps apart for them settles after some 60 rounds only, and circular garbage waits for its
# collector.
GROWTH = {"process": 1e6, "docker": 3e6}
SIX = str(Path(__file__).parent / "six" / "compose.yaml")
OWN_FILES = {"supervisor.json", "supervisor.log", "supervisor.sock"}


class Look(NamedTuple):
    """What one process holds, or the median of some looks."""

    descriptors: float
    threads: float
    children: float
    memory: float


def main() -> int:
    build.ensure("good", report=print)
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else None
    there, reason = docker.available()
    print("docker: " + ("" if there else "skipped, ") + reason)
    missed = False
    for runtime in ("process", "docker") if there else ("process",):
        missed |= run(runtime, wanted or ROUNDS[runtime])
    return int(missed)


def run(runtime: str, rounds: int) -> bool:
    """True when something has grown."""
    looks: list[dict[str, Look]] = []
    supervisor = supervisor_client.own_supervisor()
    for _ in range(WARM + rounds):
        with contextlib.redirect_stderr(io.StringIO()), Stack(SIX, runtime):
            pass
        looks.append(look(psutil.Process(supervisor.info.pid)))
    left = {path.name for path in supervisor.info.folder.iterdir()} - OWN_FILES
    if runtime == "docker":
        left |= docker.left_behind() & {supervisor.info.ident}
    supervisor.close()
    del looks[:WARM]
    missed = bool(left)
    print(f"{runtime}: {rounds} rounds after {WARM}; left behind: {sorted(left) or 'nothing'}")
    print(f"{'':10}{'descriptors':>14}{'threads':>12}{'children':>12}{'MB':>18}")
    for name in looks[0]:
        first, last = (
            Look(*(statistics.median(values) for values in zip(*part, strict=True)))
            for part in ([each[name] for each in some] for some in (looks[:10], looks[-10:]))
        )
        grown = last.memory - first.memory > GROWTH[runtime] or any(
            after > before for before, after in zip(first[:3], last[:3], strict=True)
        )
        missed |= grown
        counts = [f"{before:g} to {after:g}" for before, after in zip(first, last, strict=True)][:3]
        memory = f"{first.memory / 1e6:.2f} to {last.memory / 1e6:.2f}"
        print(
            f"{name:10}{counts[0]:>14}{counts[1]:>12}{counts[2]:>12}{memory:>18}"
            f"{'  GROWN' if grown else ''}"
        )
    return missed


def look(supervisor: psutil.Process) -> dict[str, Look]:
    """The client, the supervisor, and the zygote where there is one."""
    found = {"client": psutil.Process(), "supervisor": supervisor}
    found |= dict(zip(["zygote"], supervisor.children(), strict=False))
    return {name: _look(process) for name, process in found.items()}


def _look(process: psutil.Process) -> Look:
    return Look(
        process.num_fds(), process.num_threads(), len(process.children()), _own_memory(process)
    )


def _own_memory(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["RssAnon"].removesuffix("kB")) * 1024
    return int(process.memory_full_info().uss)


if __name__ == "__main__":
    sys.exit(main())
