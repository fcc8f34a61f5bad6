"""What the lab fills, changes and reads off; no service imports this."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from timeit import Timer
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import psycopg
import redis
from psycopg.rows import dict_row

from lab_services import report
from lab_services.models import dataset, features, scoring, store
from lab_services.patterns.serving.data_cache import preparing, warehouse
from lab_services.patterns.serving.data_cache.preparing import NUMBERS, WANTED, Dossier, Prepare
from lab_services.report import P50, P95, Interval
from lab_services.stack import Stack
from lab_services.stack.tables import append
from lab_services.traffic import Recording, Request

Floats = npt.NDArray[np.float64]
FOREVER = 3600.0  # an entry that does not expire while the lab runs
BY_WRITER = "by-writer"  # the policy whose entries are deleted by who writes, if he knows of them
_AT_ONCE = 10  # questions to the cache
_QUEUE = 20  # neighbours in a recording that wait for the same reads
_SCHEDULE = ["carrier", "origin", "destination", "weekday", "departs", "distance"]


# --- the source ----------------------------------------------------------------------------------


class Source:
    """Real reports of 2013, and flights of October to December in the order of their popularity."""

    def __init__(self, flights: int, seed: int = 0) -> None:
        flown, reports = (pd.read_csv(file) for file in dataset.files())
        hour = pd.to_datetime(reports["time_hour"])
        self.reports = reports.assign(hour=hour)[["origin", "hour", *NUMBERS]]
        arrived = flown[flown["month"] >= 10].dropna(subset=["arr_delay"])
        drawn = arrived.sample(flights, random_state=seed).reset_index(drop=True)
        date = pd.to_datetime(drawn[["year", "month", "day"]])
        clock = drawn["sched_dep_time"]
        self.flights = pd.DataFrame(
            {
                "carrier": drawn["carrier"],
                "origin": drawn["origin"],
                "destination": drawn["dest"],
                "weekday": date.dt.day_of_week + 1,
                "departs": clock // 100 * 60 + clock % 100,
                "distance": drawn["distance"].astype(float),
                "hour": pd.to_datetime(drawn["time_hour"]),
                "late": drawn["arr_delay"] > 15,
            }
        )

    def said_with_weather_of(self, hours: float) -> Floats:
        """What the good model says of each flight when its weather is so many hours old.

        Raises ValueError where a flight has no report that old.
        """
        usable = self.reports.dropna(subset=list(WANTED))
        for name, low, high in preparing.LIMITS:
            usable = usable[usable[name].between(low, high)]
        known = self.flights["hour"] - pd.Timedelta(hours=hours)
        asked = self.flights.assign(known=known).reset_index().sort_values("known", kind="stable")
        joined = pd.merge_asof(
            asked.drop(columns="hour"),
            usable.sort_values("hour", kind="stable"),
            left_on="known",
            right_on="hour",
            by="origin",
            allow_exact_matches=False,
        ).sort_values("index")
        asked_about = joined.rename(columns=WANTED)[list(features.FEATURES)]
        if asked_about.isna().any(axis=None):
            raise ValueError("There is no report that old of some flight.")
        rows: Any = asked_about.to_dict("records")
        return scoring.predict_proba("good", rows)


class Warehouse:
    """The lab's own connection to the warehouse."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = psycopg.connect(url, autocommit=True, row_factory=dict_row)

    @classmethod
    def of(cls, stack: Stack) -> Self:
        """Of a running stack."""
        return cls(stack.postgres_url("warehouse"))

    def fill(self, source: Source, flights: int, since: str = "2013-01-01") -> int:
        """Make the tables anew, with reports from `since` on; how many numbers they hold.

        The first `flights` are there, and each is briefed up to a day before its departure.
        """
        self.database.execute("DROP TABLE IF EXISTS reports, flights")
        self.database.execute("DROP FUNCTION IF EXISTS tell")
        self.database.execute(warehouse.SCHEMA)
        known = source.flights.head(flights)
        briefed = known["hour"] - pd.Timedelta(hours=24)
        table = known[_SCHEDULE].assign(briefed=briefed, version=1)
        table.insert(0, "id", range(len(table)))
        kept = source.reports[source.reports["hour"] >= pd.Timestamp(since, tz="UTC")]
        long = kept.melt(["origin", "hour"], var_name="name").dropna()
        for name, rows in {"reports": long, "flights": table}.items():
            append(self.database, name, rows)
        self.database.execute("ANALYZE")
        return len(long)

    def dossier(self, flight: int) -> Dossier:
        """What the service reads, by the same statements. Raises LookupError."""
        scheduled = self.database.execute(warehouse.FLIGHT, [flight]).fetchone()
        if scheduled is None:
            raise LookupError(f"There is no flight {flight}.")
        reports = self.database.execute(warehouse.REPORTS, scheduled).fetchall()
        return {"version": scheduled.pop("version"), "flight": scheduled, "reports": reports}

    def brief(self, flight: int) -> int:
        """The next report reaches a flight's dossier; its new version. Raises LookupError."""
        changed = self.database.execute(
            "UPDATE flights SET briefed = briefed + interval '1 hour', version = version + 1"
            " WHERE id = %s RETURNING version",
            [flight],
        ).fetchone()
        if changed is None:
            raise LookupError(f"There is no flight {flight}.")
        return int(changed["version"])


class Writers:
    """Two programs that change rows at random moments; one of them knows of the cache.

    Each of the first `flights` is changed `rate` times a second on average. Who knows deletes the
    entries of the policy `by-writer`; each change is made by one of the two, drawn by lot. As a
    context manager they write until its end.
    """

    def __init__(
        self, warehouse: Warehouse, cache: "redis.Redis", form: str, flights: int, rate: float
    ) -> None:
        self._warehouse, self._cache, self._form = warehouse, cache, form
        self._flights, self._rate = flights, rate
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._error: Exception | None = None
        self._log: list[tuple[int, int, float]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    @property
    def log(self) -> pd.DataFrame:
        """One row a change: flight, its new version, and when that was there (Unix seconds)."""
        return pd.DataFrame(self._log, columns=["flight", "version", "at"])

    def _write(self) -> None:
        random = np.random.default_rng(1)
        due = time.monotonic()
        try:
            while not self._over.is_set():
                due += random.exponential(1 / (self._rate * self._flights))
                if self._over.wait(max(0.0, due - time.monotonic())):
                    return
                flight = int(random.integers(self._flights))
                version = self._warehouse.brief(flight)
                self._log.append((flight, version, time.time()))
                if random.random() < 0.5:
                    self._cache.delete(preparing.key_of(self._form, BY_WRITER, flight))
        except Exception as error:  # noqa: BLE001  raised where the block ends
            self._error = error


# --- requests, and what their answers tell --------------------------------------------------------


def questions(
    stack: Stack,
    flights: Sequence[int],
    form: str,
    *,
    policy: str = "plain",
    expires: float = FOREVER,
    together: bool = False,
    **labels: Any,
) -> list[Request]:
    """A request for each of these flights, labelled with it."""
    url = stack.url("predictor", "/predict")
    how = {"form": form, "policy": policy, "expires": expires, "together": together}
    return [
        Request(
            url, json={"flight": flight, **how}, labels={"flight": flight, "form": form, **labels}
        )
        for flight in flights
    ]


def told(recording: Recording) -> pd.DataFrame:
    """The measured requests with what their answers tell: source, version, and seconds.

    `seconds` is processor time from what was found to the rows that the model reads. Requests
    without an answer are left out.
    """
    table = recording.measured
    table = table[table["ok"]]
    parts = table["answered_by"].str.split(" ", expand=True).reindex(columns=[0, 1, 2])
    source, version, seconds = (parts[place] for place in range(3))
    return table.assign(source=source, version=version.astype(int), seconds=seconds.astype(float))


def with_staleness(answers: pd.DataFrame, log: pd.DataFrame) -> pd.DataFrame:
    """How many versions `behind` each answer was when its request was sent; `stale` from 1 on.

    `answers` are as `told` gives them, `log` as `Writers` keeps it; each flight begins at 1.
    """
    newest = np.ones(len(answers), dtype=int)
    flight, started = answers["flight"].to_numpy(), answers["started"].to_numpy()
    for changed, rows in log.groupby("flight"):
        here = flight == changed
        place = np.searchsorted(rows["at"].to_numpy(), started[here], side="left")
        newest[here] = np.concatenate([[1], rows["version"].to_numpy()])[place]
    # What was committed while the request was under way may be in its answer already.
    behind = np.maximum(newest - answers["version"].to_numpy(), 0)
    return answers.assign(behind=behind, stale=behind > 0)


def share_by_flight(table: pd.DataFrame, column: str) -> Interval:
    """The mean over flights of the share of `column`; flights are independent, requests are not.

    Where all flights have the same share their spread tells nothing, and the requests count
    instead. Unknown where no flight has a request.
    """
    shares = table.groupby("flight")[column].mean()
    if len(shares) > 1 and shares.nunique() == 1:
        return report.share(table[column])
    return report.t_interval(shares, "share", least=0.0, most=1.0)


def fit_by_flight(table: pd.DataFrame, column: str, foretold: str) -> Interval:
    """How often `column` is true, over the sum of what was foretold of each request.

    The mean over flights, which are independent of one another. Unknown where no flight has a
    request, and where nothing is foretold of one.
    """
    sums = table.groupby("flight")[[column, foretold]].sum()
    if (sums[foretold] <= 0).any():
        return Interval.unknown("nothing is foretold of a flight", "ratio", len(sums))
    ratios = sums[column] / sums[foretold]
    return report.t_interval([float(ratio) for ratio in ratios], "ratio")


def in_reads(after: Recording, reads: Recording) -> Interval:
    """The p95 of `after` in medians of `reads`, each of which waited for no other one."""
    slow = P95(after)
    if not slow.known:
        return Interval.unknown(slow.note, "ratio", slow.n)
    latencies = [
        np.concatenate([*P95.rounds(each).values(), np.empty(0)]) for each in (after, reads)
    ]
    times = report.resampled(
        lambda both: P95.of(both[0]) / P50.of(both[1]),
        *latencies,
        unit="ratio",
        block=_QUEUE,
        paired=False,
    )
    return replace(times, note=times.note or slow.note)


def each_took(processor: float, reads: int) -> Interval:
    """The processor time of one read, from that of all of them (seconds).

    Unknown where they took less than the processor's clock tells.
    """
    if reads and not processor:
        return Interval.unknown("less than the processor's clock tells", "s", reads)
    return report.quotient(processor, reads, "s")


def step_seconds(form: str, dossier: Dossier, prepare: Prepare) -> dict[str, float]:
    """Processor time of each step on the way from a dossier to the model's rows, in seconds.

    Some forms lack some steps. The least of five turns: what else runs can only add to it.
    """
    entry = preparing.encode(form, dossier, prepare)
    payload = entry[4:]
    steps: dict[str, Callable[[], object]] = {
        "make the entry": lambda: preparing.encode(form, dossier, prepare),
        "use the entry": lambda: preparing.decode(form, entry, prepare),
    }
    if form in preparing.READ:
        read = preparing.READ[form]
        steps["of that: decode"] = lambda: read(payload)
    return {name: min(Timer(step).repeat(5, 100)) / 100 for name, step in steps.items()}


def loaded_prepare(name: str = "good") -> Prepare:
    """What the service's model does to flights, without the model."""
    codes = features.Codes(**store.card(name)["codes"])
    return lambda flights: features.prepare(flights, codes)


# --- a cache of a given size ---------------------------------------------------------------------


def entry_bytes(cache: "redis.Redis", forms: Sequence[str], policy: str = "plain") -> pd.DataFrame:
    """Memory of each entry with its key, as Redis tells it: a row a flight, a column a form.

    nan where a flight has no entry in this form, or its entry has gone while it was asked after.
    """
    found: dict[str, dict[int, float | None]] = {form: {} for form in forms}
    for form, by_flight in found.items():
        keys = list(cache.scan_iter(preparing.key_of(form, policy, "*"), count=1000))
        with cache.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.memory_usage(key, samples=0)
            flights = [int(key.rsplit(b":", 1)[1]) for key in keys]
            by_flight.update(zip(flights, pipe.execute(), strict=True))
    return pd.DataFrame(found, dtype=float)


class Sized:
    """The cache with so many bytes for entries, which throws out at random; back to normal after.

    Redis tells the age of an entry by the second, and a replay lasts less, so "the least recently
    used" would mean nothing in it.
    """

    def __init__(self, cache: "redis.Redis", memory: int) -> None:
        self._cache, self._memory = cache, memory

    def __enter__(self) -> "redis.Redis":
        self._cache.flushall()
        empty = int(self._cache.info("memory")["used_memory"])
        self._cache.config_set("maxmemory-policy", "allkeys-random")
        self._cache.config_set("maxmemory", empty + self._memory)
        return self._cache

    def __exit__(self, *_: object) -> None:
        self._cache.config_set("maxmemory", 0)
        self._cache.config_set("maxmemory-policy", "noeviction")
        self._cache.flushall()


def replay(
    cache: "redis.Redis", form: str, entries: Sequence[bytes], flights: int, asked: Sequence[int]
) -> list[bool]:
    """Whether each of the flights `asked` for is found, in this order; what is not is put there.

    Before that all `flights` are put there, in random order. Entries are used in turn: only their
    size matters here. A few questions go to the cache at once, and one that repeats another of them
    finds what that one has put there.
    """

    def put(pipe: Any, flight: int) -> None:
        pipe.set(preparing.key_of(form, "plain", flight), entries[flight % len(entries)])

    with cache.pipeline(transaction=False) as pipe:
        for number, flight in enumerate(np.random.default_rng(2).permutation(flights).tolist()):
            put(pipe, flight)
            if number % 50 == 49:
                pipe.execute()
        pipe.execute()
        hits: list[bool] = []
        for first in range(0, len(asked), _AT_ONCE):
            some = asked[first : first + _AT_ONCE]
            for flight in some:
                pipe.exists(preparing.key_of(form, "plain", flight))
            put_here: set[int] = set()
            for flight, there in zip(some, pipe.execute(), strict=True):
                hits.append(bool(there) or flight in put_here)
                if not hits[-1]:
                    put(pipe, flight)
                    put_here.add(flight)
            pipe.execute()
    return hits


# --- theory ---------------------------------------------------------------------------------------


def stale_hits(updates: float, expires: float) -> float:
    """Share of hits on an entry whose row has changed since it was read.

    Rows change at random moments, `updates` a second, and entries expire after `expires` seconds.
    Hits come at any age of the entry alike, and at age t it is stale with 1 - exp(-updates * t).

    >>> round(stale_hits(1.0, 1.0), 3)
    0.368
    """
    expected = updates * expires
    return 1 - (1 - float(np.exp(-expected))) / expected if expected else 0.0


def different(popularity: Floats, requests: float) -> float:
    """How many different flights so many requests ask for, which arrive as a Poisson process."""
    return float((1 - np.exp(-popularity * requests)).sum())
