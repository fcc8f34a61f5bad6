"""`Stack`: what a notebook holds in its hand."""

import contextlib
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlencode

from lab_services import paths
from lab_services.errors import LabError
from lab_services.stack import catalogue, clients, compose, display, loopback, messages, orders
from lab_services.stack.changeable import Changeable
from lab_services.stack.choice import Choice, choose_runtime
from lab_services.stack.faults import Change
from lab_services.stack.messages import Fault
from lab_services.stack.state import StackGone
from lab_services.stack.supervisor_client import SupervisorClient, own_supervisor
from lab_services.terminal.status_line import LiveLine, in_notebook

if TYPE_CHECKING:
    import pandas as pd
    from psycopg import Connection
    from redis import Redis

R = TypeVar("R")

_ANSWER = 10.0  # seconds for a service to answer a request


class Stack(Changeable):
    """The running services of one lab.

    >>> stack = Stack("serving/web-single").up()      # doctest: +SKIP
    >>> stack.url("proxy", "/predict")                # doctest: +SKIP
    'http://127.0.0.1:23117/predict'
    >>> stack.kill("predictor", replica=2)            # doctest: +SKIP
    >>> stack.down()                                  # doctest: +SKIP

    `runtime` is "docker", "process" or "auto": what the environment variable LAB_RUNTIME says, or
    else Docker where its engine answers and plain processes elsewhere. The stack goes with the
    process that started it; as a context manager it goes at the end of the block. In a notebook it
    goes, too, when the same lab is started again, as by a cell that is run a second time.
    `lab` may also be the path of a Compose file of your own.
    Raises UnknownLab, ComposeError, and RuntimeUnavailable when Docker is asked for and not there.
    """

    latest_picture: Any = None  # the one that is kept true
    _in_cells: ClassVar[dict[Path, "Stack"]] = {}  # what cells have started, by its Compose file

    def __init__(
        self,
        lab: str,
        runtime: str | Choice = "auto",
        *,
        supervisor: SupervisorClient | None = None,
    ) -> None:
        self.lab = lab
        self._path = catalogue.compose_path(lab)
        choice = runtime if isinstance(runtime, Choice) else choose_runtime(runtime)
        self.runtime = choice.runtime
        self._why = choice.reason
        self._given = supervisor
        self._supervisor: SupervisorClient | None = None
        self._ident: str | None = None
        self.compose = self._read()

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
        self.compose = self._read()  # as it is now, and so are the variables that it names
        ident: list[str] = []

        with display.StartLine(f"{self.lab} on {self.runtime} ({self._why})") as line:

            def hear(event: messages.Event) -> None:
                if isinstance(event, messages.StackStarted):
                    ident.append(event.ident)
                line.show(event)

            order = orders.Up(self.lab, str(self._path), self.runtime, self.compose.variables)
            try:
                described = supervisor.call(order, hear)
            except KeyboardInterrupt as interrupt:
                # The supervisor takes it down by itself, since nobody listens: it is waited for.
                for each in ident:
                    try:
                        supervisor.call(orders.Down(each))
                    except LabError as error:
                        interrupt.add_note(str(error))
                raise
        self._supervisor, self._ident = supervisor, described.ident
        return self

    def down(self) -> None:
        """End every service; nothing of the stack is left. A stack that is down stays down."""
        if self._ident is not None:
            with contextlib.suppress(StackGone):
                self._call(orders.Down(self.ident))
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
    def attach(cls, supervisor: SupervisorClient, description: messages.Description) -> "Stack":
        """A stack that runs already, as a supervisor describes it."""
        running = Choice(description.runtime, "running")
        stack = cls(description.lab, running, supervisor=supervisor)
        stack._supervisor, stack._ident = supervisor, description.ident
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
        return self._call(orders.Address(self.ident, service, port, replica))

    def text(
        self,
        service: str,
        path: str = "/",
        *,
        port: int | None = None,
        replica: int = 1,
        patience: float = _ANSWER,
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
        patience: float = _ANSWER,
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

    def metric(self, service: str, name: str, *, patience: float = _ANSWER, **labels: str) -> float:
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

    def states(self) -> list[messages.Replica]:
        """Every replica with its state: starting, ready, paused or exited; none when down."""
        described = self._described()
        return described.replicas if described is not None else []

    def logs(self, service: str, replica: int | None = None, lines: int = 50) -> str:
        """The last lines that a service wrote."""
        return self._call(orders.Logs(self.ident, service, replica, lines))

    def stats(self, seconds: float = 0.5) -> "pd.DataFrame":
        """One row per replica: processor use in cores over `seconds`, memory in MB.

        `cpu_seconds` is the processor time since the replica's start. With `seconds=0` it is asked
        once, and `cpu` is nan. A Docker engine takes up to a second to answer.

        >>> stack.stats(0)["memory_mb"]
        """
        import pandas as pd

        first = {}
        if seconds:
            first = {(u.service, u.number): u for u in self._usage()}
            time.sleep(seconds)
        rows = []
        for u in self._usage():
            before = first.get((u.service, u.number), u)
            passed = u.at - before.at
            used = u.cpu_seconds - before.cpu_seconds
            rows.append(
                {
                    "service": u.service,
                    "replica": u.number,
                    "cpu": used / passed if passed else float("nan"),
                    "cpu_seconds": u.cpu_seconds,
                    "memory_mb": u.memory / 1e6,
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
        return self._call(orders.Describe(self.ident)).faults

    # --- change ---------------------------------------------------------------------------------

    def do(self, change: Change) -> None:
        """Cause a fault, mend it, change the stack: kill, pause, scale … are short for it."""
        self._call(orders.Do(self.ident, change))

    def run(self, job: str) -> messages.JobResult:
        """Run a job of the Compose file (one with a profile) to its end."""
        return self._call(orders.Run(self.ident, job))

    # --- show -----------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        display.show_live(self)

    def __repr__(self) -> str:
        return display.table(self)

    def __str__(self) -> str:
        return self.__repr__()

    # --- inside ---------------------------------------------------------------------------------

    def _usage(self) -> list[messages.Usage]:
        return self._call(orders.Measure(self.ident))

    def _described(self) -> messages.Description | None:
        """What the supervisor says of the stack; None when it is not running, or not any more."""
        if self._ident is None:
            return None
        try:
            return self._call(orders.Describe(self._ident))
        except StackGone:
            return None

    def _call(self, order: orders.Order[R]) -> R:
        assert self._supervisor is not None  # an order has the name of a stack that has been up
        return self._supervisor.call(order)

    def _read(self) -> compose.ComposeFile:
        return compose.read(self._path, {**os.environ, "LAB_MODELS": str(paths.models_dir())})
