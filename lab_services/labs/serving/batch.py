"""What the lab asks of the stack, and what it reads off the tables; no service imports this."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import psycopg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab_services.models.features import FEATURES
from lab_services.patterns.serving.batch import tables
from lab_services.patterns.serving.batch.job import Order
from lab_services.report import numbers
from lab_services.report.charts import style
from lab_services.report.fit import Line
from lab_services.report.resampling import resampled
from lab_services.report.stats import Interval
from lab_services.stack import Stack, loopback
from lab_services.stack.tables import append, read
from lab_services.waiting import wait_until

_PATIENCE = 600.0  # seconds: a month of flights takes a slow machine minutes


class Controls:
    """The buttons of the stack, and a connection to its tables."""

    def __init__(self, stack: Stack) -> None:
        self._scheduler = stack.url("scheduler")
        self.database = stack.postgres("postgres")
        self._client = loopback.client(timeout=_PATIENCE)

    def deliver(self, flights: Sequence[Mapping[str, Any]]) -> None:
        """Put these flights in the place of those in the table; nothing is predicted yet."""
        table = pd.DataFrame(flights, columns=list(FEATURES))
        table.insert(0, "id", range(len(table)))
        with self.database.transaction():
            self.database.execute("TRUNCATE flights, predictions, appended")
            append(self.database, "flights", table)
        self.database.execute("ANALYZE flights")

    def run(self, **changed: Any) -> "pd.Series[Any]":
        """Run the job now, wait for its end; its row in the table of runs."""
        self._post("/runs", order(started_by="hand", **changed))
        return self.runs().query("started_by == 'hand'").iloc[-1]

    def schedule(
        self, every: float, firings: int, *, one_at_a_time: bool = True, **changed: Any
    ) -> float:
        """Fire each `every` seconds, so many times; when it fires first (Unix seconds)."""
        plan = {"order": order(started_by="schedule", **changed), "every": every}
        plan |= {"firings": firings, "one_at_a_time": one_at_a_time}
        return float(self._post("/schedule", plan)["first"])

    def runs(self, since: float = 0.0) -> pd.DataFrame:
        """The runs that began after `since`, oldest first; times are Unix seconds."""
        table = read(
            self.database,
            "SELECT id, night, started_by, status, reason, cpu_seconds,"
            " extract(epoch FROM began)::float AS began, extract(epoch FROM ended)::float AS ended"
            " FROM runs WHERE extract(epoch FROM began) > %s ORDER BY id",
            [since],
        ).set_index("id")
        table = table.astype({"ended": float})  # None while all of them are at work
        return table.assign(seconds=table["ended"] - table["began"])

    def parts(self, since: float = 0.0) -> pd.DataFrame:
        """The parts that were written after `since`, oldest first; `at` is in Unix seconds."""
        return read(
            self.database,
            "SELECT run, night, first, last, flights, seconds,"
            " extract(epoch FROM at)::float AS at FROM parts"
            " WHERE extract(epoch FROM at) > %s ORDER BY at",
            [since],
        )

    def wait_for(self, runs: int, since: float) -> pd.DataFrame:
        """Wait until so many runs that began after `since` have ended. Raises LabError."""

        def ended() -> bool:
            return int((self.runs(since)["status"] != "running").sum()) >= runs

        wait_until(ended, _PATIENCE, f"{runs} runs have ended")
        return self.runs(since)

    def over(self, firings: int, since: float) -> pd.DataFrame:
        """Wait until so many firings of the schedule are over; the runs that began after `since`.

        Raises LabError.
        """

        def over() -> bool:
            return int(self._client.get(f"{self._scheduler}/schedule").json()["over"]) >= firings

        wait_until(over, _PATIENCE, f"the schedule's {firings} firings are over")
        return self.runs(since)

    def spoil(self, flight: int) -> None:
        """The weather station has not reported: the flight's temperature is empty."""
        self.database.execute("UPDATE flights SET temperature = NULL WHERE id = %s", [flight])

    def mend(self) -> None:
        """The report has come in."""
        self.database.execute("UPDATE flights SET temperature = 50 WHERE temperature IS NULL")

    def count(self, table: str) -> tuple[int, int]:
        """Rows, and different flights among them, of `predictions` or `appended`."""
        query = f"SELECT count(*), count(DISTINCT flight) FROM {table}"
        rows, flights = self.database.execute(query).fetchone() or (0, 0)
        return int(rows), int(flights)

    def _post(self, path: str, body: Any) -> dict[str, Any]:
        answer = self._client.post(f"{self._scheduler}{path}", json=body)
        return answer.raise_for_status().json()  # type: ignore[no-any-return]


def order(**changed: Any) -> Order:
    """How the lab runs the job where it says nothing else."""
    usual = {"night": None, "chunk": 500, "workers": 2, "rerun": "everything", "write": "upsert"}
    whole: Any = {**usual, "lock": False, "started_by": "hand", **changed}
    return whole  # type: ignore[no-any-return]


def part_cost(flights: int, seconds: Mapping[int, float], start: float) -> Line:
    """What a part costs its worker, in seconds: so much in all, and so much a flight.

    From how long one worker alone took, `seconds` by two sizes of a part, less its `start`.

    >>> part_cost(1000, {10: 1.3, 100: 0.31}, start=0.1)(200)  # 12 ms of 10, and 21 ms of 100
    0.031
    """
    parts = {chunk: (whole - start) * chunk / flights for chunk, whole in seconds.items()}
    fixed, each = Line.through(parts)
    return Line(round(fixed, 9), round(each, 12))


def expected_seconds(flights: int, chunk: float, workers: int, cost: Line, start: float) -> float:
    """How long a run takes: its start, and the parts dealt out to whoever is free.

    >>> expected_seconds(1000, 500, 2, Line(0.0, 0.001), start=0.1)
    0.6
    >>> expected_seconds(1000, 1000, 2, Line(0.0, 0.001), start=0.1)
    1.1
    """
    whole, rest = divmod(flights, min(int(chunk), flights))
    busy = [0.0] * workers
    for size in [min(int(chunk), flights)] * whole + ([rest] if rest else []):
        busy[busy.index(min(busy))] += cost(size)
    return start + max(busy)


def farthest_off(
    flights: int,
    one: Mapping[int, Sequence[float]],
    two: Mapping[int, Sequence[float]],
    starts: Sequence[float],
    cores: int,
) -> Interval:
    """The largest factor by which the times of two workers lie above or below the expected ones.

    `one` and `two` workers' seconds round by round, by the size of a part, and the runs' `starts`.
    All of them are resampled, those from which the theory is made included. Unknown where a time is
    not expected to be above 0: then noise has made a cost negative.
    """

    def off(series: Sequence[npt.NDArray[np.float64]]) -> float:
        start, *means = (float(each.mean()) for each in series)
        cost = part_cost(flights, dict(zip(one, means, strict=False)), start)
        due = [expected_seconds(flights, chunk, min(2, cores), cost, start) for chunk in two]
        if not all(each > 0 for each in due):
            return math.nan
        ratios = [took / each for took, each in zip(means[len(one) :], due, strict=True)]
        return max(max(ratio, 1 / ratio) for ratio in ratios)

    rounds = [np.array(each) for each in (starts, *one.values(), *two.values())]
    # Thousands of parts are dealt out for each draw.
    return resampled(off, *rounds, unit="ratio", paired=False, draws=200)


def crossover(a_start: float, a_row: float, a_request: float) -> Interval:
    """From how many predictions a day on a job is cheaper than requests; all in core seconds.

    Unknown where the job never is, or always: its start or what it saves is lost in noise then.

    >>> crossover(2.0, 0.001, 0.005)
    500 predictions a day
    """
    unit = "predictions a day"
    if not a_request > a_row:
        return Interval.unknown("a row was not measured to be cheaper than a request", unit)
    if not a_start > 0:
        return Interval.unknown("no start was measured beside the rows", unit)
    return Interval.exact(round(a_start / (a_request - a_row)), unit)


def amdahl(workers: float, serial: float, cores: int) -> float:
    """The speed-up by workers where a share `serial` of the time is not shared (Amdahl 1967).

    >>> amdahl(2, 0.0, cores=2), amdahl(4, 0.5, cores=2)
    (2.0, 1.3333333333333333)
    """
    return 1 / (serial + (1 - serial) / min(workers, cores))


def over_amdahl(
    seconds: Mapping[int, Sequence[float]],
    starts: Sequence[float],
    cores: int,
    *,
    few: int,
    many: int,
) -> Interval:
    """What `many` workers gain over `few`, against what Amdahl's law allows them to.

    From the runs' `seconds` by their workers and their `starts`, round by round; the law needs the
    seconds of one. Rounds are resampled, so that it knows that its serial share is measured, too.
    """

    def gained(series: Sequence[npt.NDArray[np.float64]]) -> float:
        start, of_one, of_few, of_many = (float(each.mean()) for each in series)
        allowed = [amdahl(workers, start / of_one, cores) for workers in (few, many)]
        return of_few / of_many / (allowed[1] / allowed[0])

    rounds = [np.array(each) for each in (starts, seconds[1], seconds[few], seconds[many])]
    return resampled(gained, *rounds, unit="ratio")


class Night(NamedTuple):
    """What came of one night: flights predicted again, seconds from its beginning until each flight
    was fresh, and seconds from one part that it wrote to the next."""

    recomputed: int
    waited: npt.NDArray[np.float64]
    steps: npt.NDArray[np.float64]

    @property
    def finished(self) -> float:
        """When the last flight was fresh."""
        return float(self.waited.max())

    @property
    def stale(self) -> float:
        """How long a mean flight had to do with an older prediction."""
        return float(self.waited.mean())


def night_of(parts: pd.DataFrame, night: int, began: float, flights: int) -> Night:
    """How a night went that `began` then (Unix seconds).

    A flight that this night never reached is fresh when a later one reaches it.
    """
    own = parts[parts["night"] == night]
    fresh = _fresh_at(parts[parts["night"] >= night], flights)
    reached = int((_fresh_at(own, flights) < math.inf).sum())
    again = int(own["flights"].sum()) - reached
    return Night(again, fresh - began, np.diff(np.sort(own["at"].to_numpy()), prepend=began))


def finish_ratio(one: Night, other: Night) -> Interval:
    """By how many times later one night has written its last part than the other.

    The longest step of each is the wait until the row was mended, which is planned; of the others,
    neighbours are drawn together, as two workers write in turns.
    """
    waits = [each.steps.max() for each in (one, other)]
    steps = [np.delete(each.steps, each.steps.argmax()) for each in (one, other)]

    def later(series: Sequence[npt.NDArray[np.float64]]) -> float:
        ends = [wait + each.sum() for wait, each in zip(waits, series, strict=True)]
        return float(ends[0] / ends[1])

    return resampled(later, *steps, unit="ratio", paired=False, block=4)


def nights(
    controls: Controls,
    reruns: Sequence[str],
    *,
    every: float,
    bad: int,
    mend_after: float,
    chunk: int,
) -> pd.DataFrame:
    """Let the scheduler fire a night each `every` seconds, and do what `reruns` says of each.

    A night begins later where the one before is not over, as on a slow machine. On a "healthy"
    night nothing happens. On any other the flight `bad` is spoilt, so the run fails there;
    `mend_after` seconds later the flight is mended, and then "everything" or the "missing" is run
    again, or one waits for the next night ("wait"). A row a night: number, when it began, failed
    and was mended (Unix seconds). Raises RuntimeError where one goes otherwise.
    """
    nights = []
    due = 0.0
    for number, rerun in enumerate(reruns):
        time.sleep(max(0.0, due - time.time()))
        first = controls.schedule(every, 1, rerun="missing", chunk=chunk)
        due = first + every
        run = controls.wait_for(1, since=first - 0.05).iloc[0]
        failed = mended = math.nan
        if (run["status"] == "failed") != (rerun != "healthy"):
            raise RuntimeError(f"The night that should be {rerun} has {run['status']}.")
        if rerun != "healthy":
            failed = run["ended"]
            time.sleep(mend_after)
            controls.mend()
            mended = time.time()
        if rerun in ("everything", "missing"):
            controls.run(night=int(run["night"]), rerun=rerun, chunk=chunk)
        if reruns[number + 1 :] and reruns[number + 1] != "healthy":
            controls.spoil(bad)
        nights.append((int(run["night"]), rerun, run["began"], failed, mended))
    return pd.DataFrame(nights, columns=["night", "rerun", "began", "failed", "mended"])


def _fresh_at(parts: pd.DataFrame, flights: int) -> npt.NDArray[np.float64]:
    """When each flight was first written by one of these parts; infinite for never."""
    fresh = np.full(flights, math.inf)
    latest_first = parts.sort_values("at", ascending=False)
    for first, last, at in zip(*(latest_first[c] for c in ("first", "last", "at")), strict=True):
        fresh[first : last + 1] = at
    return fresh


def most_at_once(parts: pd.DataFrame) -> int:
    """The largest number of runs that were at work at the same moment; 0 where none was.

    A run is at work from its first part to its last: it asks for the lock after it has begun.
    """
    begins = (parts["at"] - parts["seconds"]).groupby(parts["run"]).min()
    ends = parts.groupby("run")["at"].max()
    return max((int(((begins <= at) & (ends > at)).sum()) for at in begins), default=0)


def freshness(
    parts: pd.DataFrame, began: "pd.Series[float]", flights: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The share of flights with a prediction of the latest night, over the nights that `began`.

    Seconds after the first of them (Unix seconds, by the night's number) and shares; where the next
    night begins nothing is known for a moment, so that its line does not hang on the last one's.
    """
    last = float(parts["at"].max())
    at, shares = [], []
    for (night, start), until in zip(began.items(), [*began, last][1:], strict=True):
        fresh = np.sort(_fresh_at(parts[parts["night"] == night], flights))
        fresh = fresh[np.isfinite(fresh)]
        steps = np.linspace(0, len(fresh) - 1, min(100, len(fresh))).astype(int)
        at += [start, *fresh[steps], until, until]
        shares += [0.0, *(steps + 1) / flights, len(fresh) / flights, math.nan]
    return np.array(at) - at[0], np.array(shares)


def cost_chart(
    measured: Mapping[str, Mapping[float, float]],
    expected: Mapping[str, Callable[[float], float]],
    crossover: Interval,
    most: float,
    *,
    name: str,
    title: str,
) -> style.Chart:
    """Core seconds of a thousand predictions against how many are made in a day, up to `most`.

    A curve for each of `expected`, which gives the core seconds of a day; points, the same by
    number of predictions, where there are `measured` ones. `crossover` is marked where it is known.
    """
    style.check_labels(expected, measured)
    volumes = np.geomspace(150, most, 121)
    with style.style(name):
        figure = Figure(figsize=(style.WIDTH, 3.9))
        axes = figure.add_subplot()
        # In thousands, since numbers beyond a million have no room.
        axes.set(xscale="log", yscale="log", xlim=(0.15, most / 1000))
        legend, words = [], []
        for index, (label, seconds) in enumerate(expected.items()):
            look: dict[str, Any] = {"color": style.COLOURS[index], "ls": style.DASHES[index]}
            axes.plot(volumes / 1000, [seconds(n) / n * 1000 for n in volumes], **look)
            words.append(
                f"{label}: {numbers.written(seconds(1000), 's')} a thousand at 1,000 a day, "
                f"{numbers.written(seconds(most) / most * 1000, 's')} at {most:,.0f}."
            )
            if points := measured.get(label):
                look |= {"marker": style.MARKERS[index]}
                at = [n / 1000 for n in points]
                each = [of_all / n * 1000 for n, of_all in points.items()]
                axes.plot(at, each, **{**look, "ls": "none"}, clip_on=False)
            legend.append(Line2D([], [], **look, label=label))
        if crossover.known:
            axes.axvline(crossover.value / 1000, **style.MARK)
            legend.append(Line2D([], [], **style.MARK, label="crossover"))
        words.append(f"The crossover: {crossover}.")
        axes.set_ylim(top=9e5)
        style.unit_axis(axes, "x", "", room=1)
        style.unit_axis(axes, "y", "", room=1)
        axes.set_ylabel("core seconds a thousand")
        style.noted(axes, "thousand predictions a day", [])
        return style.finish(figure, name, title, " ".join(words), legend)


def keeps_one_and_the_newest(database: tables.Database, clause: str) -> bool:
    """Whether `INSERT INTO … VALUES … <clause>` leaves one row a flight, the newest night's.

    It is run on a table of its own: night 2 over night 1, night 2 again, and night 1 late.
    """
    insert = f"INSERT INTO trial (flight, night, probability) VALUES (%s, %s, %s) {clause}"
    try:
        with database.transaction(force_rollback=True):
            database.execute(
                "CREATE TEMP TABLE trial (flight int PRIMARY KEY, night int, probability float)"
            )
            for night, probability in ((1, 0.1), (2, 0.2), (2, 0.25), (1, 0.1)):
                database.execute(insert, [7, night, probability])
            return database.execute("SELECT * FROM trial").fetchall() == [(7, 2, 0.25)]
    except psycopg.Error:
        return False
