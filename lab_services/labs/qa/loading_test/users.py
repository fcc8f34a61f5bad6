"""Users for Locust's own command line: each shows a board, looks at it, and shows the next.

    locust -f users.py --host http://… --master     (and, as often as there are cores: --worker)

All wait for answers, so this is a closed loop, as nearly every file of this kind is. The lab runs
it in processes of their own, which end when their standard input does: see `swarm`.
"""

import json
import os
from itertools import cycle
from pathlib import Path

import gevent
from gevent.fileobject import FileObject
from locust import FastHttpUser, HttpUser, constant, events, runners, task

FOUND = json.loads(Path(os.environ["BOARDS"]).read_text())
BOARDS = cycle(FOUND)
FLIGHTS = cycle([flight for board in FOUND for flight in board])


class Traveller(FastHttpUser):
    """Looks at each board for 50 ms, which is short; nobody asks without a pause."""

    wait_time = constant(0.05)

    @task
    def board(self) -> None:
        self.client.post("/predict/board", json=next(BOARDS))


class Hurried(HttpUser):
    """Asks for one flight after the other without a pause, by the client that most files use."""

    @task
    def flight(self) -> None:
        self.client.post("/predict/quick", json=next(FLIGHTS))


# --- around it ----------------------------------------------------------------------------------


def tie(**_: object) -> None:
    """End with whoever started this: a load generator that nobody minds is an attack."""
    if os.environ.get("TIED") == "1":
        gevent.spawn(_end_with_input)


def _end_with_input() -> None:
    FileObject(0, "rb").read()
    os._exit(0)


# Workers report every three seconds by default: a short run would have ended without its last ones.
runners.WORKER_REPORT_INTERVAL = 0.25  # seconds
events.init.add_listener(tie)  # type: ignore[no-untyped-call]
