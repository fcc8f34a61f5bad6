"""How true a recording is: against the server's own time stamps, wrk, and a stalled server.

    python tests/bench/bench_recording.py

Prints ratios and exits with 1 beyond the bars: p50 within 5 % and p99 within 10 %.

The server is an ASGI application on uvicorn. It is a stand-in with a programmable service time
(it waits without working), so that no queue forms and each request's time on the server is what
its two stamps say: one when the application is called, one when the answer has been handed to
the kernel. What lies outside of the stamps (loopback, the server's HTTP parser) is taken from wrk,
which sends at the same rate over the same number of connections to the same server: its latency
less the stamps of its own requests. Rounds of wrk and of the traffic under test interleave; one in
which the generator says that it fell behind (another program took the processor) is repeated. The
median of the rounds counts, so that a single disturbed one does not.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lab_services import traffic
from lab_services.stack import loopback

SERVICE = 0.005
CONNECTIONS = 16
ROUNDS = 5
ATTEMPTS = 10
SECONDS = 5.0
RATES = (100, 300)
BARS = {0.5: 0.05, 0.99: 0.10}

SERVER = """
import asyncio, json, os, time
from array import array

service = float(os.environ["SERVICE"])
stamps = array("d")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    received = time.monotonic()
    body = b""
    if scope["path"] == "/stamps":
        body = json.dumps(list(stamps)).encode()
        del stamps[:]
    else:
        await receive()
        await asyncio.sleep(service)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    if scope["path"] != "/stamps":
        stamps.extend((received, time.monotonic()))
"""

# wrk waits whole milliseconds between an answer and the next request; exponential waits on many
# connections come close to Poisson arrivals.
WRK = """
wrk.method = "POST"
wrk.body = '{{"flight": 1}}'
wrk.headers["Content-Type"] = "application/json"
function init(args) math.randomseed(os.time()) end
function delay() return math.floor(-{pause} * math.log(1 - math.random()) + 0.5) end
function done(summary, latency, requests)
  for place = 1, #latency do
    local value, count = latency(place)
    io.write("sample ", value, " ", count, "\\n")
  end
end
"""


@contextmanager
def server(folder: Path):
    """The stand-in on a free port; gives the process and the port."""
    (folder / "stand_in.py").write_text(SERVER)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "stand_in:app", "--app-dir", str(folder)]
    command += ["--fd", str(listener.fileno()), "--no-access-log", "--log-level", "warning"]
    process = subprocess.Popen(
        command, env=os.environ | {"SERVICE": str(SERVICE)}, pass_fds=[listener.fileno()]
    )
    listener.close()  # connections wait in its copy of the socket until it is up
    try:
        stamps(port)
        yield process, port
    finally:
        process.kill()
        process.wait()


def stamps(port: int) -> np.ndarray:
    """Seconds between the two stamps of every request since the last call."""
    pairs = np.array(loopback.get(f"http://127.0.0.1:{port}/stamps").json()).reshape(-1, 2)
    return pairs[:, 1] - pairs[:, 0]


def by_wrk(folder: Path, port: int, rate: float) -> np.ndarray:
    """Latencies in seconds that wrk saw at `rate` over CONNECTIONS connections."""
    script = folder / "pace.lua"
    script.write_text(WRK.format(pause=1000 * (CONNECTIONS / rate - SERVICE)))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS:.0f}s", "-s", str(script)]
    command.append(f"http://127.0.0.1:{port}/predict")
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line.split()[1:] for line in output.splitlines() if line.startswith("sample ")]
    values, counts = np.array(lines, dtype=float).T
    return np.repeat(values / 1e6, counts.astype(int))


def by_traffic(port: int, rate: float, seed: int) -> traffic.Recording:
    requests = traffic.requests(f"http://127.0.0.1:{port}/predict", [{"flight": 1}])
    schedule = traffic.poisson(rate, SECONDS, seed=seed)
    return traffic.send(requests, schedule, connections=CONNECTIONS)


def compare_stamps(folder: Path, port: int, rate: float) -> bool:
    """Whether p50 and p99 of the recording, from the intended starts, are within the bars."""
    rounds: list[dict[float, tuple[float, float, float]]] = []
    print(f"\n{rate} requests/s over {CONNECTIONS} connections")
    for number in range(ATTEMPTS):
        wrk, its = by_wrk(folder, port, rate), stamps(port)
        recording, ours = by_traffic(port, rate, seed=number), stamps(port)
        if not recording.table["ok"].all():
            sys.exit(f"The stand-in did not answer: {recording}")
        if not recording.late:
            seen = (recording.table["latency"], ours, wrk, its)
            rounds.append({q: tuple(np.quantile(values, q) for values in seen) for q in BARS})
        print(f"  wrk at {len(wrk) / SECONDS:.0f}/s", *(["(repeated)"] if recording.late else []))
        if len(rounds) == ROUNDS:
            break
    else:
        sys.exit("This machine is too busy to measure on.")
    good = True
    for q, bar in BARS.items():
        own, ours, wrk, its = np.array([each[q] for each in rounds]).T
        ratios = own / (ours + wrk - its)
        ratio = np.median(ratios)
        good &= (fits := abs(ratio - 1) <= bar)
        print(
            f"  p{q * 100:g}: recording {np.median(own) * 1e3:.2f} ms, "
            f"stamps {np.median(ours) * 1e3:.2f} ms, "
            f"loopback by wrk {np.median(wrk - its) * 1e3:.2f} ms, "
            f"ratio {ratio:.3f} of {np.round(np.sort(ratios), 2).tolist()} "
            f"(bar 1 +- {bar:g}) {'ok' if fits else 'BEYOND THE BAR'}"
        )
    return good


def compare_stall(process: subprocess.Popen, port: int) -> bool:
    """A server stopped for d of T seconds of constant arrivals.

    Arrivals of the stall wait for what is left of it, so that their latencies lie evenly between
    0 and d: the share 1 - q of the slowest begins at d - (1 - q) T, and the service time comes on
    top.
    """
    rate, seconds, stalled = 200, 5.0, 1.0
    taken = []

    def stop() -> None:
        process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        time.sleep(stalled)
        process.send_signal(signal.SIGCONT)
        taken.append(time.monotonic() - begin)

    requests = traffic.requests(f"http://127.0.0.1:{port}/predict", [{"flight": 1}])
    recording = traffic.send(requests, traffic.constant(rate, seconds), at={2.0: stop})
    print(f"\n{rate} requests/s for {seconds:g} s, the server stopped for {taken[0]:.3f} s")
    good = not recording.late
    for q in (0.9, 0.99):
        seen = recording.table["latency"].quantile(q)
        expected = taken[0] - (1 - q) * seconds + SERVICE
        ratio = seen / expected
        good &= (fits := abs(ratio - 1) <= BARS[0.99])  # type: ignore[assignment]
        print(
            f"  p{q * 100:g}: recording {seen * 1e3:.0f} ms, arithmetic {expected * 1e3:.0f} ms, "
            f"ratio {ratio:.3f} (bar 1 +- {BARS[0.99]:g}) {'ok' if fits else 'BEYOND THE BAR'}"
        )
    return good


def main() -> int:
    if not shutil.which("wrk"):
        print("wrk is not installed: apt-get install wrk, or brew install wrk", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as (process, port):
        print(f"Stand-in server with a service time of {SERVICE * 1e3:g} ms")
        results = [compare_stamps(Path(name), port, rate) for rate in RATES]
        results.append(compare_stall(process, port))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
