"""What the lab asks, reads off caches and recordings, and the theory; no service imports this."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lab_services.report.proportions import share
from lab_services.report.resampling import resampled
from lab_services.report.rounds import t_interval
from lab_services.report.stats import Interval, rows
from lab_services.stack import Stack
from lab_services.traffic.recording import Recording
from lab_services.traffic.request import Request

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
FOREVER = 3_600_000  # milliseconds: longer than any lab

# --- what is asked for ---------------------------------------------------------------------------


def question(
    front: str,
    door: str,
    flight: Mapping[str, Any],
    samples: int,
    *,
    ttl: float | None = None,
    **labels: str | int,
) -> Request:
    """A request to one of the doors of the front at this URL; the label `door` says which."""
    url = f"{front}/{door}/predict" + ("" if ttl is None else f"?ttl={ttl:g}")
    body = {"flight": flight, "samples": samples}
    return Request(url, json=body, labels={"door": door, **labels})


# --- caches of the stack -------------------------------------------------------------------------


def forget(stack: Stack) -> None:
    """Empty the front's cache."""
    with stack.redis("cache", text=False) as cache:
        cache.flushall()


def spread_ages(stack: Stack, ttl: float, seed: int = 0) -> None:
    """Let each entry expire at a random moment of the next `ttl` seconds.

    So it would be in a cache that has run for long; in one that has just been filled all expire at
    the same time.
    """
    random = np.random.default_rng(seed)
    with stack.redis("cache", text=False) as cache, cache.pipeline(transaction=False) as together:
        for name in cache.scan_iter(count=1000):
            together.pexpire(name, max(1, round(1000 * ttl * random.random())))
        together.execute()


def set_up(cache: Any, policy: str, keys: Integers) -> None:
    """Fill a running cache with these entries, the last one the newest, and let it grow no more.

    The limit is what the cache needs for them, in bytes, as Redis wants it.
    """
    cache.config_set("maxmemory", 0)
    cache.flushall()
    cache.config_set("maxmemory-policy", policy)
    for begin in range(0, len(keys), _TOGETHER):
        _ask_for(cache, keys[begin : begin + _TOGETHER])
    cache.config_set("maxmemory", cache.info("memory")["used_memory"])


def replay(
    caches: Sequence[Any], asked: Integers, rate: float
) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Ask all caches for the same keys at `rate` per second, and save what they do not have.

    Returns for each cache (row) and request (column) whether it was a hit; and for each cache how
    many entries it held, on average over the time.
    """
    hits: list[list[bool]] = [[] for _ in caches]
    sizes: list[list[int]] = [[] for _ in caches]
    begin = time.monotonic()
    for at in range(0, len(asked), _TOGETHER):
        keys = asked[at : at + _TOGETHER]
        for cache, hit, size in zip(caches, hits, sizes, strict=True):
            hit += _ask_for(cache, keys)
            size.append(cache.dbsize())
        time.sleep(max(0.0, begin + (at + len(keys)) / rate - time.monotonic()))
    return np.array(hits), np.array(sizes, dtype=float).mean(axis=1)


_TOGETHER = 50  # commands in a round trip; each is carried out by itself
# As large as an entry of the front's.
_ENTRY = (
    b'{"answer":{"probability":0.412,"late":true,"model":"good"},"took":0.01,"until":1700000000}'
)


def _ask_for(cache: Any, keys: Integers) -> list[bool]:
    """Whether each key was there. One command looks and, where there is nothing, saves."""
    with cache.pipeline(transaction=False) as together:
        for name in keys.tolist():
            named = f"first::{name:032d}"
            together.execute_command("SET", named, _ENTRY, "PX", FOREVER, "NX", "GET")
        return [found is not None for found in together.execute()]


# --- theory of hit rates -------------------------------------------------------------------------


def long_running(shares: Floats, size: int, seed: int = 0) -> Integers:
    """What an LRU cache holds that has run for long, the last one the newest.

    When each question was last asked, counted back in requests, is exponential with its share as
    rate; the cache holds those for which that is shortest.
    """
    ages = np.random.default_rng(seed).exponential(1 / shares)
    return np.argsort(ages)[:size][::-1]


# --- what recordings say -------------------------------------------------------------------------


def source(table: pd.DataFrame) -> "pd.Series[str]":
    """Where each answer came from: cache, model or shared."""
    return table["answered_by"].str.split(" ").str[0]


def who_answered(table: pd.DataFrame) -> "pd.Series[str]":
    """The same, and "no answer" where none came."""
    return source(table).replace("", "no answer")


def model(table: pd.DataFrame) -> "pd.Series[str]":
    """Which model each answer is of."""
    return table["answered_by"].str.replace(r"^\S* ?", "", regex=True)


def hits(recording: Recording) -> Interval:
    """The share of the requests that the cache has answered."""
    table = rows(recording)
    return share(source(table) == "cache")


def only(recording: Recording, answered: str) -> pd.DataFrame:
    """The requests that were answered by cache, model or shared."""
    table = rows(recording)
    return table[source(table) == answered]


_NO_QUESTION = "no question was answered in all three ways"


def lookup_costs(recording: Recording) -> pd.DataFrame:
    """One row a question that was asked without the cache, then as a miss, then as a hit: seconds.

    The label `question` says which requests are the same question, `step` which of the three. A
    question is left out where an answer is missing, or came from elsewhere: on a busy machine the
    front may wait for the cache in vain.
    """
    table = recording.table[recording.table["ok"]]
    expected = {"plain": "model", "miss": "model", "hit": "cache"}
    table = table[source(table) == table["step"].map(expected)]
    found = table.pivot_table(index=["round", "question"], columns="step", values="response_time")
    return found.reindex(columns=list(expected)).dropna().reset_index(drop=True)


def capacity(costs: pd.DataFrame) -> Interval:
    """Inferences a second of a predictor that does one after the other, from what a hit spares.

    Unknown where no question was asked in all three ways, and where hits spare nothing.
    """
    if costs.empty:
        return Interval.unknown(_NO_QUESTION, "inferences/s")
    spared = float((costs["miss"] - costs["hit"]).median())
    if spared <= 0:
        return Interval.unknown("a hit is no faster than a miss", "inferences/s")
    return Interval.exact(1 / spared, "inferences/s")


def break_even(costs: pd.DataFrame) -> Interval:
    """The hit rate at which a cache costs as much time as it saves, with a bootstrap interval.

    A miss takes longer by the look and the saving, a hit is shorter than a miss by the inference:
    with medians, (miss - plain) / (miss - hit). Unknown of fewer than two questions.
    """
    if len(costs) < 2:
        return Interval.unknown(_NO_QUESTION if costs.empty else "one question is too few", "share")

    def of(steps: Sequence[Floats]) -> float:
        plain, miss, hit = map(np.median, steps)
        return float((miss - plain) / (miss - hit))

    steps = costs[["plain", "miss", "hit"]].to_numpy(dtype=float).T
    return resampled(of, *steps, unit="share")


# --- an old model's answers ----------------------------------------------------------------------


def exchanged(recording: Recording) -> float:
    """When the first model itself has answered for the last time (Unix s); nan without answers."""
    table = rows(recording)
    first = _first_model(table)
    own = table[(model(table) == first) & (source(table) == "model")]
    return float((own["intended"] + own["latency"]).max())


def freshness(table: pd.DataFrame, since: float) -> "pd.Series[Any]":
    """Whose answer each request got; the old model's is stale `since` that moment (Unix s)."""
    ok = table["ok"].astype(bool)
    first = _first_model(table)
    old = np.where(table["started"] > since, "stale", "old model")
    kinds = np.where(model(table) == first, old, "new model")
    return pd.Series(np.where(ok, kinds, "no answer"), index=table.index)


def _first_model(table: pd.DataFrame) -> str:
    """The model of the first answer; nothing without one."""
    return next(iter(model(table[table["ok"].astype(bool)])), "")


def counted(share: Interval, unit: str) -> Interval:
    """How many requests a share is of; unknown where the share is."""
    if not share.known:
        return Interval.unknown(share.note, unit)
    return Interval.exact(round(share.value * share.n), unit)


def stale(recording: Recording, since: float, begin: float, end: float) -> Interval:
    """The share of stale answers from `begin` to `end` seconds after `since` (Unix s).

    Unknown where no request was sent in that time.
    """
    table = rows(recording)
    here = (table["started"] > since + begin) & (table["started"] <= since + end)
    return share(freshness(table, since)[here] == "stale")


def stale_share(after: float, ttl: float, rates: Floats) -> float:
    """The share of stale answers `after` seconds after a model was exchanged.

    `rates` are requests per second of each question. An entry is made by a miss, lives `ttl`
    seconds, and is made again by the next request: it is there for ttl / (ttl + 1 / rate) of the
    time, and of those entries 1 - after / ttl are older than the exchange.
    """
    held = rates * ttl / (1 + rates * ttl)
    return float((rates * held).sum() / rates.sum() * max(0.0, 1 - after / ttl))


# --- stampedes -----------------------------------------------------------------------------------


_NOT_RENEWED = "nothing has been renewed"


def stampedes(recording: Recording, gap: float) -> pd.DataFrame:
    """One row for each time that an answer was renewed: how many requests did so or waited for it.

    `asked` are inferences, `waited` requests that were not answered from the cache; `first` is how
    long the first of them took, `slowest` the slowest (seconds). Renewals less than `gap` seconds
    apart are the same one.
    """
    table = rows(recording)
    slow = table[source(table) != "cache"].sort_values("started")
    number = (slow["started"].diff() > gap).cumsum()
    asked = source(slow) == "model"
    return pd.DataFrame(
        {
            "asked": asked.groupby(number).sum(),
            "waited": slow.groupby(number).size(),
            "first": slow.groupby(number)["response_time"].first(),
            "slowest": slow.groupby(number)["latency"].max(),
        }
    ).reset_index(drop=True)


def per_expiry(found: pd.DataFrame, column: str) -> Interval:
    """The mean over stampedes, each of which is at least one request."""
    if found.empty:
        return Interval.unknown(_NOT_RENEWED)
    return t_interval(found[column].tolist(), least=1.0)


def most_asked(found: Iterable[pd.DataFrame]) -> Interval:
    """The most inferences that any stampede took."""
    asked = pd.concat(found)["asked"]
    return Interval.unknown(_NOT_RENEWED) if asked.empty else Interval.exact(int(asked.max()))


def at_expiry(rate: float, seconds: float) -> float:
    """Requests that miss an answer which `rate` per second ask for and takes `seconds` to renew.

    The first one, and all who come until its answer is there.
    """
    return 1 + rate * seconds


def renewed_early(rate: float, seconds: float, eager: float = 1.0) -> float:
    """Inferences per renewal with early expiry by lot, on average.

    A request t seconds before the expiry renews with chance exp(-t / (eager * seconds)), and others
    may do so too until its answer is there. The expected number of renewals up to a moment is A;
    the first comes when A has reached an exponentially distributed amount.
    """
    scale = eager * seconds

    def amount(at: Floats) -> Floats:
        before = rate * scale * np.exp(np.minimum(at, 0) / scale)
        return before + rate * np.maximum(at, 0)

    reached = -np.log1p(-(np.arange(2000) + 0.5) / 2000)  # equally likely amounts
    early = scale * np.log(np.minimum(reached / (rate * scale), 1))
    first = np.where(reached < rate * scale, early, reached / rate - scale)
    return float(1 + (amount(first + seconds) - amount(first)).mean())
