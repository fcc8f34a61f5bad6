"""Locust as it comes: a master with its web page, and workers, each a process of its own.

The lab steers it by the same addresses that the page's buttons use, so what the notebook does can
be watched and stopped in the browser. Nothing of Locust is imported here: it patches the threads
of whoever imports it, and a notebook's kernel hangs.
"""

import atexit
import csv
import io
import json
import math
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx

from lab_services import python
from lab_services.errors import LabError
from lab_services.stack import loopback
from lab_services.stack.display import link
from lab_services.stack.ports import free_port

USERS = Path(__file__).with_name("users.py")
# Seconds for all processes to have come up, and for the page to answer: a busy core takes its time.
_PATIENCE = 120.0
_ANSWERS = 60.0
_SECONDS = 5.0  # for a process to end when it is told to
_LAST_LINES = 12
_REPORTED = 0.4  # seconds within which every worker has reported: see users.py


class Counted(NamedTuple):
    """What Locust's own table says of a run; times in seconds, as coarse as Locust rounds them.

    Times are nan where no request was answered.
    """

    requests: int
    failures: int
    median: float
    p95: float


class Swarm:
    """A master and its workers, until `close()`.

    They also end with the process that started them, however that goes. Creating it returns at
    once, and `wait()` waits until every worker has reported to the master.
    """

    def __init__(
        self, host: str, boards: Sequence[Sequence[Mapping[str, Any]]], workers: int = 2
    ) -> None:
        if workers < 1 or not boards:
            raise LabError("A swarm needs a worker and a board.", "Give at least one of each.")
        self.workers = workers
        self._host = host
        self._folder = tempfile.TemporaryDirectory(prefix="lab-swarm-")
        folder = Path(self._folder.name)
        (folder / "boards.json").write_text(json.dumps(boards))
        self._log = (folder / "log").open("w+b")
        self.port = free_port(set())
        bind = free_port({self.port})
        common = ["--host", host, "--loglevel", "WARNING", "--class-picker"]
        page = ["--web-host", "127.0.0.1", "--web-port", str(self.port)]
        binding = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(bind)]
        joining = ["--worker", "--master-host", "127.0.0.1", "--master-port", str(bind)]
        self._processes = [self._start(["--master", *common, *page, *binding])]
        self._processes += [self._start([*joining, *common]) for _ in range(workers)]
        atexit.register(self.close)

    @property
    def page(self) -> str:
        """Where a reader's browser finds Locust's page; JupyterLab hands it on behind a hub."""
        return link(self.port)

    def wait(self) -> Self:
        """Until every worker has reported. Raises LabError with the last lines of who did not."""
        self._until(lambda: self._worker_count() == self.workers, "did not come up")
        return self

    def run(
        self, users: int, seconds: float, kind: str = "Traveller", host: str | None = None
    ) -> Counted:
        """So many users of a `kind` for `seconds`, and what Locust counted. Raises LabError.

        `kind` names a class of `users.py`, and `host` is who is asked: the swarm's where not given.
        """
        form = {"user_count": users, "spawn_rate": users, "user_classes": kind}
        self._ask("/swarm", {**form, "host": host or self._host})
        time.sleep(seconds)
        self._ask("/stop", {})
        last = -1
        found = self.counted()
        # The workers report several times a second, also after the end.
        while found.requests != last:
            last = found.requests
            time.sleep(_REPORTED)
            found = self.counted()
        return found

    def counted(self) -> Counted:
        """Locust's table of the last run, from the file that its page offers."""
        rows = list(csv.DictReader(io.StringIO(self._ask("/stats/requests/csv").decode())))
        total = next(row for row in rows if row["Name"] == "Aggregated")
        requests = int(total["Request Count"])
        # Of no request Locust says 0 or N/A.
        times = [total["Median Response Time"], total["95%"]] if requests else [math.nan] * 2
        median, p95 = (float(time) / 1000 for time in times)
        return Counted(requests, int(total["Failure Count"]), median, p95)

    def report(self, path: str | Path) -> Path:
        """Save the report that Locust's page offers: one HTML file with tables and charts."""
        path = Path(path)
        path.write_bytes(self._ask("/stats/report?download=1"))
        return path

    def close(self) -> None:
        """End all processes, the master last. Twice does no harm."""
        for process in reversed(self._processes):
            if process.stdin and not process.stdin.closed:
                with suppress(BrokenPipeError):
                    process.stdin.close()
        for process in self._processes:
            try:
                process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
        self._log.close()
        self._folder.cleanup()
        atexit.unregister(self.close)

    def _start(self, arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
        boards = str(Path(self._folder.name) / "boards.json")
        return subprocess.Popen(
            python.command("locust", "-f", str(USERS), *arguments),
            stdin=subprocess.PIPE,  # closed by a caller's death too, and then they end
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=python.environment(BOARDS=boards, TIED="1"),
            start_new_session=True,  # an interrupt in the notebook reaches the notebook alone
        )

    def _worker_count(self) -> int:
        try:
            return int(json.loads(self._ask("/worker-count"))["worker_count"])
        except (LabError, ValueError, KeyError, TypeError):
            return -1  # the page is not there yet

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not condition():
            gone = [process for process in self._processes if process.poll() is not None]
            if gone or time.monotonic() > end:
                raise LabError(f"Locust's processes {what}.", self._last_lines())
            time.sleep(0.05)

    def _last_lines(self) -> str:
        self._log.flush()
        lines = Path(self._log.name).read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join(["Their last lines:", *lines]) if lines else "They left no message."

    def _ask(self, path: str, form: Mapping[str, object] | None = None) -> bytes:
        try:
            answer = loopback.request(
                "GET" if form is None else "POST",
                f"http://127.0.0.1:{self.port}{path}",
                data=form,
                timeout=_ANSWERS,
                follow_redirects=True,
            )
            return answer.raise_for_status().content
        except httpx.HTTPError as error:
            raise LabError(f"Locust's page does not answer {path}: {error}.") from error
