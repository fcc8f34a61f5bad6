"""What the service framework costs: requests a second as ratios to a bare ASGI application.

python tests/bench/bench_predictor.py

| form    | is                                                                             |
|---------|--------------------------------------------------------------------------------|
| bare    | parse, infer, answer: an ASGI application without a framework, on uvloop and httptools |
| plain   | FastAPI as its tutorial has it, on uvicorn's pure Python: asyncio and h11       |
| tuned   | a service of this project: uvloop, httptools, /metrics, refusals, limits        |
| batched | the same with MICRO_BATCHING=1                                                  |

One worker, one row a request, 16 connections, wrk; the forms take turns, and the ratios are those
within a round, so that a machine that grows slower does not favour one of them. Beside each stands
the same ratio for the server's processor time: where the two are far apart, something else was
running. It says the factors and judges none of them.
"""

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from lab_services.models import build, payloads
from lab_services.stack import loopback

CONNECTIONS = 16
ROUNDS = 12
SECONDS = 1

SERVER = ("lab_services.services.server",)
TUTORIAL = ("uvicorn", "--loop=asyncio", "--http=h11", "--no-access-log", "--log-level=warning")
FLIGHTS = "lab_services.services.flights_app:app"
# The server as a module of Python with its arguments, the application, its environment.
FORMS: dict[str, tuple[tuple[str, ...], str, dict[str, str]]] = {
    "bare": (SERVER, "bare:app", {}),
    "plain": (TUTORIAL, "plain:app", {}),
    "tuned": (SERVER, FLIGHTS, {}),
    "batched": (SERVER, FLIGHTS, {"MICRO_BATCHING": "1"}),
}


def main() -> int:
    if shutil.which("wrk") is None:
        print("This needs wrk on PATH (Debian: apt install wrk; macOS: brew install wrk).")
        return 2
    model = build.ensure("good", report=print)["good"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        script = _script(folder)
        servers = {name: Served(stack, model, *form) for name, form in FORMS.items()}
        for server in servers.values():
            server.load(script)
        rounds = [
            {name: server.load(script) for name, server in servers.items()} for _ in range(ROUNDS)
        ]
    print(f"{'form':10}{'requests/s':>12}{'to bare':>9}{'quartiles':>14}{'per processor':>15}")
    for name in FORMS:
        rate = statistics.median(taken[name].rate for taken in rounds)
        ratios = [taken[name].rate / taken["bare"].rate for taken in rounds]
        low, ratio, high = statistics.quantiles(ratios, n=4)
        busy = statistics.median(taken["bare"].busy / taken[name].busy for taken in rounds)
        spread = f"{low:.2f} to {high:.2f}"
        print(f"{name:10}{rate:12.0f}{ratio:9.2f}{spread:>14}{busy:15.2f}")
    return 0


class Load(NamedTuple):
    """One turn of wrk: requests a second, and the server's processor seconds a request."""

    rate: float
    busy: float


class Served:
    """A server process that ends with the stack it is given."""

    def __init__(
        self,
        stack: ExitStack,
        model: Path,
        server: tuple[str, ...],
        app: str,
        environment: dict[str, str],
    ) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = taken.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/predict"
        self.process = psutil.Popen(
            [sys.executable, "-m", *server, app],
            env={
                **os.environ,
                "MODEL": str(model),
                "PORT": str(port),
                "UVICORN_PORT": str(port),  # as uvicorn's own command calls it
                **environment,
            },
            cwd=Path(__file__).parent,
            stdout=subprocess.DEVNULL,
            preexec_fn=_on_core(0),
        )
        stack.callback(self.process.wait)
        stack.callback(self.process.terminate)
        flight = payloads.flights(1)[0]
        give_up = time.monotonic() + 30
        while True:
            try:
                loopback.post(self.url, json=flight).raise_for_status()
                return
            except httpx.ConnectError:
                if self.process.poll() is not None or time.monotonic() > give_up:
                    raise
                time.sleep(0.05)

    def load(self, script: Path) -> Load:
        """Raises RuntimeError when a request was not answered with 200."""
        before = self.process.cpu_times()
        printed = subprocess.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), self.url],
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=_on_core(1),
        ).stdout
        after = self.process.cpu_times()
        rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
        answered = re.search(r"(\d+) requests in", printed)
        if "Non-2xx" in printed or "Socket errors" in printed or not (rate and answered):
            raise RuntimeError(printed)
        busy = after.user + after.system - before.user - before.system
        return Load(float(rate[1]), busy / int(answered[1]))


def _script(folder: Path) -> Path:
    """A wrk script that sends real flights, one after another."""
    bodies = ",".join(json.dumps(json.dumps(flight)) for flight in payloads.flights(200))
    script = folder / "flights.lua"
    script.write_text(
        f"""
local bodies = {{{bodies}}}
local sent = {{}}
local next = 0
init = function()
  for i, body in ipairs(bodies) do
    sent[i] = wrk.format("POST", nil, {{["content-type"] = "application/json"}}, body)
  end
end
request = function()
  next = next % #sent + 1
  return sent[next]
end
"""
    )
    return script


def _on_core(core: int) -> Callable[[], None] | None:
    """Server and generator apart, where the system can pin and has two cores."""
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        return None
    chosen = sorted(os.sched_getaffinity(0))[core]
    return lambda: os.sched_setaffinity(0, {chosen})


if __name__ == "__main__":
    sys.exit(main())
