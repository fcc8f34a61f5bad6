"""What the lab reads off the queue, the store and the recordings; no service imports this."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import aiohttp
import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from lab_services.report.concurrency import open_at
from lab_services.report.rounds import t_interval
from lab_services.report.stats import Interval
from lab_services.services.worker import wait_until_done
from lab_services.stack import Stack
from lab_services.traffic.recording import Recording
from lab_services.traffic.request import Request
from lab_services.traffic.schedules import Schedule

STREAM = "jobs"
PATIENCE = 30.0  # seconds for a request, or for the next job to be done
Times = npt.NDArray[np.float64]


# --- what is asked for ---------------------------------------------------------------------------


def job(ident: str, flight: Mapping[str, Any], samples: int, **changed: Any) -> dict[str, Any]:
    """A job as the front takes it: not keyed, paid for by nobody in particular."""
    asked = {"id": ident, "flight": flight, "samples": samples, "late_above": 0.3}
    return asked | {"account": "nobody", "keyed": False} | changed


def jobs(
    stack: Stack,
    flights: Sequence[Mapping[str, Any]],
    name: str,
    count: int,
    samples: int,
    *,
    path: str = "/jobs",
    change: Callable[[int], Mapping[str, Any]] = lambda number: {},
    **labels: str | int,
) -> list[Request]:
    """`count` requests to submit a job, each with an id of its own, which is the label `job`.

    `change(number)` says what is different about the job of that number. Names must differ from one
    call to the next.
    """
    url = stack.url("front", path)
    made = []
    for number in range(count):
        flight = flights[number % len(flights)]
        body = job(f"{name}-{number}", flight, samples, **change(number))
        made.append(Request(url, json=body, labels={"job": body["id"], **labels}))
    return made


# --- from the running stack ----------------------------------------------------------------------


def clear(stack: Stack) -> None:
    """Forget all jobs, dead letters, results and charges; the workers join the queue again."""
    for service in ("queue", "store"):
        with stack.redis(service) as redis:
            redis.flushall()


def drained(stack: Stack, patience: float = PATIENCE) -> None:
    """Wait until each job is done or buried. Raises LabError where nothing happens for too long."""
    with stack.redis("queue") as queue:
        wait_until_done(queue, STREAM, patience=patience)


def work(stack: Stack) -> pd.DataFrame:
    """One row for each time that a job was done, in that order.

    `job`, `place` in the queue as a number that rises, `queued` and `finished` in Unix seconds,
    `worker`, and `again`: whether it had been done before.
    """
    with stack.redis("store") as store:
        lines = [orjson.loads(line) for line in store.lrange("log", 0, -1)]
    table = pd.DataFrame(lines, columns=["job", "place", "worker", "finished"])
    parts = table["place"].str.split("-", expand=True).reindex(columns=[0, 1]).astype(float)
    table["queued"] = parts[0] / 1000
    table["place"] = parts[0] + parts[1] / 1e6
    table["again"] = table["job"].duplicated()
    return table


def charges(stack: Stack) -> dict[str, int]:
    """How often each account was charged."""
    with stack.redis("store") as store:
        return {account: int(count) for account, count in store.hgetall("bill").items()}


def results(stack: Stack) -> set[str]:
    """The ids of all jobs that have a result."""
    with stack.redis("store") as store:
        return set(store.hkeys("results"))


def dead_letters(stack: Stack) -> list[dict[str, Any]]:
    """The jobs that were given up, with `reason` and `attempts`."""
    with stack.redis("queue") as queue:
        return [
            orjson.loads(fields["job"]) | {key: fields[key] for key in ("reason", "attempts")}
            for _, fields in queue.xrange(f"{STREAM}-dead")
        ]


# --- clients who wait ----------------------------------------------------------------------------


def collect(
    stack: Stack,
    bodies: Sequence[Mapping[str, Any]],
    schedule: Schedule,
    intervals: Sequence[float | None],
) -> pd.DataFrame:
    """Clients that submit a job each and come for its result: every `interval` seconds, in turn.

    An interval of None stands for one request that the front holds back until the result is there.
    The first look comes at a random moment of the first interval, so that clients who came
    together do not ask together. One row a client: `interval`, `delay` from the finish of the job
    until its client had the result, `latency` from the submission until the finish (seconds), and
    `empty`, how many looks found nothing.
    """
    # A notebook has an event loop of its own, and two do not fit into one thread.
    with ThreadPoolExecutor(1) as thread:
        url = stack.url("front", "/jobs")
        rows = thread.submit(
            lambda: asyncio.run(_collect(url, bodies, schedule.offsets, intervals))
        ).result()
    return pd.DataFrame(rows, columns=["interval", "delay", "latency", "empty"])


async def _collect(
    url: str,
    bodies: Sequence[Mapping[str, Any]],
    offsets: Times,
    intervals: Sequence[float | None],
) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    limit = aiohttp.ClientTimeout(total=PATIENCE)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, timeout=limit, raise_for_status=True
    ) as session:
        begin = time.monotonic()

        async def client(number: int) -> dict[str, Any]:
            interval, body = intervals[number % len(intervals)], bodies[number % len(bodies)]
            phase = random.uniform(0, interval or 0)
            await asyncio.sleep(begin + offsets[number] - time.monotonic())
            sent = time.time()
            async with session.post(url, json=body) as answer:
                await answer.read()
            result, empty = await _look(session, f"{url}/{body['id']}", interval, phase)
            seen = time.time()
            return {
                "interval": interval or 0.0,
                "delay": seen - result["finished"],
                "latency": result["finished"] - sent,
                "empty": empty,
            }

        return await asyncio.gather(*(client(number) for number in range(len(offsets))))


async def _look(
    session: aiohttp.ClientSession, url: str, interval: float | None, phase: float
) -> tuple[dict[str, Any], int]:
    """The result, and how many looks found nothing."""
    empty, due = 0, time.monotonic() + phase
    while True:
        if interval is not None:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        async with session.get(url, params={"wait": 0 if interval else 10}) as answer:
            result: dict[str, Any] = await answer.json()
            if answer.status == 200:
                return result, empty
        empty += 1
        due += interval or 0.0


# --- numbers -------------------------------------------------------------------------------------


def completion(recording: Recording, done: pd.DataFrame) -> Recording:
    """The same jobs, timed by the queue's clock and the worker's: from the queue to the result."""
    first = done.loc[~done["again"]].set_index("job")
    finished = recording.table["job"].map(first["finished"])
    queued = recording.table["job"].map(first["queued"])
    table = recording.table.assign(
        ok=finished.notna(), latency=(finished - queued).fillna(math.inf)
    )
    return replace(recording, table=table, late=False, note="")


def service_time(done: pd.DataFrame) -> Interval:
    """Seconds from one finish to the next while jobs were waiting, with a 95 % t interval.

    What slows down one job slows down the next one, too. Unknown from fewer than three finishes.
    """
    gaps = np.diff(np.sort(done["finished"].to_numpy(dtype=float)))
    if len(gaps) < 2:
        return Interval.unknown(f"{len(done)} jobs done, a service time needs 3", "s", len(done))
    return t_interval(gaps, "s", dependent=True)


def capacity(service: Interval) -> Interval:
    """How many jobs a second a worker does that needs so many seconds for one."""
    return replace(Interval.exact(1).over(service), unit="jobs/s")


def depth(done: pd.DataFrame, at: Times) -> Times:
    """How many jobs were in the queue or in work at those moments (Unix seconds)."""
    first = done[~done["again"]]
    return open_at(first["queued"], first["finished"], at).astype(float)


def slope(done: pd.DataFrame, begin: float, end: float) -> Interval:
    """Jobs per second by which the queue grows from `begin` to `end` (Unix seconds).

    What comes less what is done, each by the times from one job to the next. Unknown where there
    are too few of them.
    """
    first = done[~done["again"]]
    moments = [np.sort(first[column].to_numpy(dtype=float)) for column in ("queued", "finished")]
    came, gone = (
        capacity(t_interval(np.diff(at[(at >= begin) & (at <= end)]), "s", dependent=True))
        for at in moments
    )
    return came.minus(gone)


def drain_seconds(done: pd.DataFrame, since: float) -> Interval:
    """Seconds from `since` until at most one job was left.

    It is as many times from one finish to the next, which give it its interval. Unknown where there
    were no more jobs then already, and where more were left to the end.
    """
    if depth(done, np.array([since]))[0] <= 1:
        return Interval.unknown("no job was waiting that could have drained", "s")
    moments = np.sort(done["finished"].to_numpy(dtype=float))
    moments = moments[(moments >= since) & np.isfinite(moments)]
    empty = moments[depth(done, moments) <= 1]
    if not len(empty):
        return Interval.unknown("the queue has not drained", "s")
    gaps = np.diff([since, *moments[moments <= empty[0]]])
    return t_interval(gaps, "s", dependent=True).scaled(len(gaps), "s")


def done_again(done: pd.DataFrame, kills: int) -> Interval:
    """How many jobs of a killed worker were done again, on average.

    Workers that are started again have new names. A kill after which nothing was done again counts
    as 0. Unknown where more workers than `kills` lost jobs: some were slow, and taken for dead.
    """
    first = done.loc[~done["again"]].set_index("job")["worker"]
    counts: list[int] = done.loc[done["again"], "job"].map(first).value_counts().tolist()
    if len(counts) > kills:
        lost = f"{len(counts)} workers lost jobs and {kills} were killed: some were only slow"
        return Interval.unknown(lost, "jobs", len(counts))
    return t_interval(counts + [0] * (kills - len(counts)), "jobs", least=0)


def overtaken(done: pd.DataFrame) -> tuple[int, int]:
    """How many results came after the result of a job that was queued later; and of how many."""
    places = done.loc[~done["again"]].sort_values("finished", kind="stable")["place"].to_numpy()
    return int((places < np.maximum.accumulate(places)).sum()), len(places)


def rate(moments: "pd.Series[float]", begin: float, end: float, every: float = 0.25) -> Interval:
    """Events per second from `begin` to `end` (Unix seconds); unknown where that is no time.

    The mean over equal slices of that time, of about `every` seconds as those of `rates`, so that
    the interval shows how even it was.
    """
    if not begin < end:
        return Interval.unknown("it ended before it could be measured", "jobs/s")
    slices = max(4, round((end - begin) / every))
    counted, edges = np.histogram(moments.to_numpy(dtype=float), slices, (begin, end))
    return t_interval(counted / np.diff(edges), "jobs/s", least=0)


def rates(
    moments: npt.ArrayLike, begin: float, seconds: float, every: float = 0.25
) -> tuple[Times, Times]:
    """Events per second from `begin` (Unix seconds) on, as the corners of a line in steps.

    Seconds after the beginning, and the rates; each step is `every` seconds long.
    """
    edges = np.arange(0, seconds + every / 2, every)
    counted = np.histogram(np.asarray(moments, dtype=float) - begin, edges)[0] / every
    return np.repeat(edges, 2)[1:-1], np.repeat(counted, 2)


# --- theory --------------------------------------------------------------------------------------


def useful_under_poison(
    seconds: float, offered: float, share: float, capacity: float, again_every: float
) -> float:
    """Useful results per second, `seconds` after a share of all jobs began to fail for ever.

    Each failed job comes back every `again_every` seconds and is served before new ones, so P of
    them leave capacity - P / again_every for new jobs, of which a `share` joins P. First everybody
    is served and P rises evenly; once the capacity is used up, what is left for new jobs shrinks by
    share / again_every of itself a second. Rates are in jobs per second.
    """
    if offered > capacity or not 0 <= share < 1:
        raise ValueError("This takes a queue that is stable without poison, and a share below 1.")
    if not share:
        return offered
    full = again_every * (capacity - offered) / (share * offered)
    beyond = max(0.0, seconds - full)
    return (1 - share) * offered * math.exp(-share / again_every * beyond)
