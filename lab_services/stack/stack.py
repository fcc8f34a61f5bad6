"""`Stack`: what a notebook holds in its hand."""

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from lab_services import paths
from lab_services.errors import LabError
from lab_services.stack import catalogue, clients, compose, display, loopback
from lab_services.stack.choice import choose_runtime
from lab_services.stack.fault import Fault
from lab_services.stack.runtime import JobResult, Replica
from lab_services.stack.state import StackGone
from lab_services.stack.supervisor_client import SupervisorClient, own_supervisor
from lab_services.terminal.status_line import LiveLine, in_notebook

if TYPE_CHECKING:
    import pandas as pd
    from psycopg import Connection
    from redis import Redis

_PATIENCE = 10.0  # seconds for a service to answer


class Stack:
    """The running services of one lab.

    >>> stack = Stack("serving/web-single").up()      # doctest: +SKIP
    >>> stack.url("proxy", "/predict")                # doctest: +SKIP
    'http://127.0.0.1:23117/predict'
    >>> stack.kill("predictor", replica=2)            # doctest: +SKIP
    >>> stack.down()                                  # doctest: +SKIP

    `runtime` is "docker", "process" or "auto": Docker where its engine answers, plain processes
    elsewhere. The environment variable LAB_RUNTIME overrides it. The stack goes with the process
    that started it; as a context manager it goes at the end of the block. In a notebook it
    goes, too, when the same lab is started again, as by a cell that is run a second time.
    `lab` may also be the path of a Compose file of your own.
    Raises UnknownLab, ComposeError, and RuntimeUnavailable when Docker is asked for and not there.
    """

    latest_picture: Any = None  # the one that is kept true
    _in_cells: ClassVar[dict[Path, "Stack"]] = {}  # what cells have started, by its Compose file

    def __init__(
        self, lab: str, runtime: str = "auto", *, supervisor: SupervisorClient | None = None
    ) -> None:
        self.lab = lab
        self._path = catalogue.compose_path(lab)
        choice = choose_runtime(os.environ.get("LAB_RUNTIME") or runtime)
        self.runtime = choice.runtime
        self._why = choice.reason
        self._given = supervisor
        self._supervisor: SupervisorClient | None = None
        self._ident: str | None = None
        self.compose = compose.read(self._path, self._variables())

    # --- life -----------------------------------------------------------------------------------

    def up(self) -> "Stack":
        """Start every service and wait until each has answered; shows progress meanwhile.

        An interrupt takes the half-started stack down again.
        Raises ServiceFailed, PortTaken, BinaryMissing, ImageBuildFailed.
        """
        if self._described() is not None:
            return self
        if self._given is None and in_notebook():
            self._replace()
        return self._up()

    def _replace(self) -> None:
        """Take down what an earlier run of the cell has started: nobody holds it any more."""
        former = self._in_cells.get(self._path)
        if former is not None and former._described() is not None:
            with LiveLine() as line:
                line.update(f"{self.lab} was running already: its former stack is replaced.")
            former.down()
        self._in_cells[self._path] = self

    def _up(self) -> "Stack":
        supervisor = self._given or own_supervisor(children=self.runtime == "process")
        ident: list[str] = []

        with display.Progress(f"{self.lab} on {self.runtime} ({self._why})") as progress:

            def show(text: str) -> None:
                if text.startswith("stack "):
                    ident.append(text.removeprefix("stack "))
                else:
                    progress.line(text)

            try:
                described = supervisor.call(
                    "up",
                    show,
                    lab=self.lab,
                    path=str(self._path),
                    runtime=self.runtime,
                    variables=self._variables(),
                )
            except KeyboardInterrupt:
                # The supervisor takes it down by itself, since nobody listens: it is waited for.
                for each in ident:
                    supervisor.call("down", stack=each)
                raise
        self._supervisor, self._ident = supervisor, described["stack"]
        return self

    def down(self) -> None:
        """End every service; nothing of the stack is left. A stack that is down stays down."""
        if self._ident is not None:
            with contextlib.suppress(StackGone):
                self._call("down")
            self._ident = None

    def __enter__(self) -> "Stack":
        return self if self._described() is not None else self._up()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    @classmethod
    def attach(cls, supervisor: SupervisorClient, description: Mapping[str, Any]) -> "Stack":
        """A stack that runs already, as a supervisor describes it."""
        stack = cls.__new__(cls)
        stack.lab = description["lab"]
        stack.runtime = description["runtime"]
        stack._path = catalogue.compose_path(stack.lab)
        stack._why = "running"
        stack._given = stack._supervisor = supervisor
        stack._ident = description["stack"]
        stack.compose = compose.read(stack._path, stack._variables())
        return stack

    # --- look -----------------------------------------------------------------------------------

    @property
    def ident(self) -> str:
        """The stack's own name on this machine."""
        if self._ident is None:
            raise LabError(f"The stack {self.lab} is not running.", "Start it: stack.up().")
        return self._ident

    def url(
        self, service: str, path: str = "", *, port: int | None = None, replica: int = 1
    ) -> str:
        """Where a service answers on this machine; `port` is a container port of the Compose file.

        >>> stack.url("proxy", "/predict", port=8081)   # doctest: +SKIP
        'http://127.0.0.1:23118/predict'
        """
        return f"http://{self.address(service, port=port, replica=replica)}{path}"

    def address(self, service: str, *, port: int | None = None, replica: int = 1) -> str:
        """Where a service that speaks no HTTP answers on this machine; `port` as in `url`.

        >>> stack.address("queue")                      # doctest: +SKIP
        '127.0.0.1:23119'
        """
        return str(self._call("address", service=service, port=port, replica=replica))

    def text(
        self,
        service: str,
        path: str = "/",
        *,
        port: int | None = None,
        replica: int = 1,
        patience: float = _PATIENCE,
    ) -> str:
        """What a service answers to a GET of `path`; `port` as in `url`.

        Raises LabError for an answer that is none of 2xx, or none within `patience` seconds.

        >>> stack.text("web", "/metrics")               # doctest: +SKIP
        """
        import httpx  # late, as in `loopback`

        url = self.url(service, path, port=port, replica=replica)
        try:
            answer = loopback.get(url, timeout=patience, follow_redirects=True)
        except httpx.HTTPError as error:
            raise LabError(
                f"{service} does not answer {path}: {error}.",
                "The stack's state shows whether it runs; it may be killed, paused or overloaded.",
            ) from error
        if not answer.is_success:
            raise LabError(
                f"{service} answers {path} with the status {answer.status_code}: "
                f"{answer.text[:200]}",
                f"What it wrote: stack.logs({service!r}).",
            )
        return answer.text

    def json(
        self,
        service: str,
        path: str,
        *,
        port: int | None = None,
        replica: int = 1,
        patience: float = _PATIENCE,
    ) -> Any:
        """What a service answers to a GET of `path`, read as JSON; `port` as in `url`.

        Raises LabError for an answer that is none of 2xx, is no JSON, or does not come within
        `patience` seconds.

        >>> stack.json("proxy", "/stats?format=json", port=9901)["stats"]   # doctest: +SKIP
        """
        content = self.text(service, path, port=port, replica=replica, patience=patience)
        try:
            return json.loads(content)
        except ValueError as error:
            raise LabError(
                f"{service} answers {path} with what is no JSON: {content[:200]!r}",
                "stack.text(…) gives it as it is.",
            ) from error

    def metric(
        self, service: str, name: str, *, patience: float = _PATIENCE, **labels: str
    ) -> float:
        """A number of a service's /metrics: the sum of the samples with these labels.

        nan where it tells none, as of its processor on a platform without /proc. Raises LabError as
        `text` does.

        >>> stack.metric("web", "waiting", way="queue")  # doctest: +SKIP
        """
        return clients.metric(self.text(service, "/metrics", patience=patience), name, labels)

    def envoy_stats(self, proxy: str, pattern: str, *, port: int = 9901) -> dict[str, int]:
        """What the Envoy of a proxy has counted, by name, of the names that a pattern matches.

        `port` is that of its admin pages. Raises LabError as `text` does.

        >>> stack.envoy_stats("proxy", "upstream_rq_total$")  # doctest: +SKIP
        """
        path = f"/stats?{urlencode({'format': 'json', 'filter': pattern})}"
        return clients.envoy_stats(self.json(proxy, path, port=port)["stats"])

    def redis(self, service: str, *, replica: int = 1, text: bool = True) -> "Redis":
        """A client of a service that is a Redis server; it closes as a context manager.

        Its answers are `text`, or else bytes.
        """
        return clients.redis(self.address(service, replica=replica), text=text)

    def postgres_url(self, service: str) -> str:
        """The URL of a service that is a PostgreSQL server."""
        return clients.postgres_url(
            self.address(service), self.compose.services[service].environment
        )

    def postgres(self, service: str, **options: Any) -> "Connection[Any]":
        """A connection to a service that is a PostgreSQL server; each statement counts at once.

        Options are those of `psycopg.connect`; it closes as a context manager.
        """
        return clients.postgres(self.postgres_url(service), **options)

    def states(self) -> list[Replica]:
        """Every replica with its state: starting, ready, paused or exited; none when down."""
        described = self._described() or {"replicas": []}
        return [
            Replica(**{**r, "ports": {int(k): v for k, v in r["ports"].items()}})
            for r in described["replicas"]
        ]

    def logs(self, service: str, replica: int | None = None, lines: int = 50) -> str:
        """The last lines that a service wrote."""
        return str(self._call("logs", service=service, replica=replica, lines=lines))

    def stats(self, seconds: float = 0.5) -> "pd.DataFrame":
        """One row per replica: processor use in cores over `seconds`, memory in MB.

        `cpu_seconds` is the processor time since the replica's start. With `seconds=0` it is asked
        once, and `cpu` is nan. A Docker engine takes up to a second to answer.

        >>> stack.stats(0)["memory_mb"]
        """
        import pandas as pd

        first = {}
        if seconds:
            first = {(u["service"], u["number"]): u for u in self._call("usage")}
            time.sleep(seconds)
        rows = []
        for u in self._call("usage"):
            before = first.get((u["service"], u["number"]), u)
            passed = u["at"] - before["at"]
            used = u["cpu_seconds"] - before["cpu_seconds"]
            rows.append(
                {
                    "service": u["service"],
                    "replica": u["number"],
                    "cpu": used / passed if passed else float("nan"),
                    "cpu_seconds": u["cpu_seconds"],
                    "memory_mb": u["memory"] / 1e6,
                }
            )
        columns = ["service", "replica", "cpu", "cpu_seconds", "memory_mb"]
        return pd.DataFrame(rows, columns=columns).set_index(columns[:2])

    def cpu_seconds(self, service: str) -> float:
        """Processor time of all replicas of a service since each was started.

        What one request takes of it, where nobody waits, is the service time of queueing theory.

        >>> stack.cpu_seconds("predictor")               # doctest: +SKIP
        """
        return float(self.stats(0)["cpu_seconds"].loc[service].sum())

    @property
    def faults(self) -> list[Fault]:
        """What was done to this stack, in order; charts shade it."""
        return [Fault(**f) for f in self._call("describe")["faults"]]

    # --- faults and changes ---------------------------------------------------------------------

    def kill(self, service: str, replica: int = 1) -> None:
        """SIGKILL: the process is gone at once, requests in it are lost."""
        self._call("kill", service=service, replica=replica)

    def start(self, service: str, replica: int = 1) -> None:
        """Start a killed replica again; returns when it answers."""
        self._call("start", service=service, replica=replica)

    def pause(self, service: str, replica: int = 1) -> None:
        """Freeze a replica: its connections stay open, nothing answers."""
        self._call("pause", service=service, replica=replica)

    def resume(self, service: str, replica: int = 1) -> None:
        """Let a paused replica go on."""
        self._call("resume", service=service, replica=replica)

    def scale(self, service: str, replicas: int) -> None:
        """Run that many replicas; returns when they answer and every proxy knows them."""
        self._call("scale", service=service, replicas=replicas)

    def rollout(self, service: str, environment: Mapping[str, str]) -> None:
        """Replace the replicas one by one by new ones with a changed environment."""
        stated = {name: str(value) for name, value in environment.items()}
        self._call("rollout", service=service, environment=stated)

    def inject_delay(self, service: str, seconds: float, share: float = 1.0) -> None:
        """Let the proxy in front of a service hold that share of its requests for `seconds`."""
        self._check_share(share)
        if not seconds >= 0.001:
            raise LabError(
                f"{seconds} s is no delay.", "Use 0.001 or more, or stack.clear_faults(…)."
            )
        self._call("inject_delay", service=service, seconds=seconds, share=share)

    def inject_errors(self, service: str, status: int = 503, share: float = 1.0) -> None:
        """Let the proxy in front of a service answer that share of its requests with `status`."""
        self._check_share(share)
        if not 400 <= status <= 599:
            raise LabError(f"{status} is not an error status.", "Use 400 to 599.")
        self._call("inject_errors", service=service, status=status, share=share)

    def clear_faults(self, service: str) -> None:
        """End delays and errors of a service."""
        self._call("clear_faults", service=service)

    def run(self, job: str) -> JobResult:
        """Run a job of the Compose file (one with a profile) to its end."""
        return JobResult(**self._call("run", service=job))

    # --- show -----------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        display.show_live(self)

    def __repr__(self) -> str:
        return display.table(self)

    def __str__(self) -> str:
        return self.__repr__()

    # --- inside ---------------------------------------------------------------------------------

    def _described(self) -> dict[str, Any] | None:
        """What the supervisor says of the stack; None when it is not running, or not any more."""
        if self._ident is None:
            return None
        try:
            return dict(self._call("describe"))
        except StackGone:
            return None

    def _call(self, command: str, **arguments: Any) -> Any:
        ident = self.ident
        assert self._supervisor is not None
        return self._supervisor.call(command, stack=ident, **arguments)

    def _variables(self) -> dict[str, str]:
        return {**os.environ, "LAB_MODELS": str(paths.models_dir())}

    @staticmethod
    def _check_share(share: float) -> None:
        if not 0 < share <= 1 or round(share * 100) != round(share * 100, 6):
            raise LabError(f"{share} is not a share.", "Envoy takes whole percents: 0.01 to 1.")
