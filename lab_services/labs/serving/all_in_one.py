"""What the lab does to its stack and what theory expects; no service imports this."""

import math
import resource
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lab_services.models.features import FEATURES
from lab_services.report import bootstrap
from lab_services.report.charts.timeline import Change
from lab_services.report.fit import Line
from lab_services.report.queueing import Queue, lindley
from lab_services.report.resampling import resampled
from lab_services.report.rounds import t_interval
from lab_services.report.stats import Interval, Mean, Requests, rows
from lab_services.stack import Stack
from lab_services.traffic.recording import Recording
from lab_services.traffic.request import Request, requests
from lab_services.waiting import tries

MODELS = ("board", "advice", "reasons")
Flights = Sequence[Mapping[str, Any]]
Floats = npt.NDArray[np.float64]


# --- requests -----------------------------------------------------------------------------------


def streams(stack: Stack, flights: Flights, arm: str, **labels: Any) -> dict[str, list[Request]]:
    """For each model its requests: all to one service (`arm` is "one"), or each to its own."""
    return {
        model: requests(
            stack.url("one" if arm == "one" else model, f"/{model}"),
            flights,
            arm=arm,
            model=model,
            **labels,
        )
        for model in MODELS
    }


def explanation_bytes(others: int) -> int:
    """What one explanation keeps: every field against so many flights, in numbers of 4 bytes."""
    return len(FEATURES) ** 2 * others * 4


# --- statistics ---------------------------------------------------------------------------------


def failed(recording: Requests, *models: str) -> tuple[int, int]:
    """How many requests to these models failed, and how many there were."""
    table = rows(recording)
    table = table[table["model"].isin(models)]
    return int((~table["ok"].astype(bool)).sum()), len(table)


def counted(hits: int, of: int) -> Interval:
    """How many of so many requests; unknown where there was none that could have been hit."""
    if not of:
        return Interval.unknown("nobody asked meanwhile", "requests")
    return Interval.exact(hits, "requests")


def lifetime(recording: Recording, arm: str) -> Interval:
    """Seconds until the first explanation fails: the death as those see it who ask.

    A platform sees it later; an engine of containers, under load, by more than a second. Those who
    wait in a queue when the service dies fail at that moment, whenever they came; those who gave up
    waiting tell nothing of a death. Its interval is that of as many explanations at random. Unknown
    where none fails.
    """
    table = rows(recording)
    asked = table[(table["arm"] == arm) & (table["model"] == "reasons")]
    lost = asked[~asked["ok"].astype(bool) & ~asked["error"].str.startswith("no answer within")]
    if lost.empty:
        return Interval.unknown("no explanation has failed: it has not died", "s")
    died = float((lost["intended"] + lost["latency"]).min())
    back = (asked["intended"] + asked["latency"])[asked["ok"].astype(bool)]
    gaps = np.diff([recording.begin, *np.sort(back[back < died]), died])
    return t_interval(gaps, "s").scaled(len(gaps), "s")


def outcome(table: pd.DataFrame) -> "pd.Series[Any]":
    """What became of each request, for the chart: answered, or whose model's failed."""
    return pd.Series(
        np.where(table["ok"].astype(bool), "answered", table["model"] + " failed"),
        index=table.index,
    )


# --- theory -------------------------------------------------------------------------------------


def mixed(rates: Mapping[str, float], services: Mapping[str, float]) -> Queue | None:
    """The one queue that all models share: one worker, and the service times mixed by their rates.

    Rates are per second, service times in seconds and taken as constant for each model. The
    queue's `mean_wait` is then the formula of Pollaczek and Khinchine. None where nothing comes.
    """
    total = sum(rates.values())
    if not total:
        return None
    mean = sum(rates[name] * services[name] for name in rates) / total
    square = sum(rates[name] * services[name] ** 2 for name in rates) / total
    return Queue(1, mean, service_scv=max(0.0, square / mean**2 - 1))


def expected_latencies(
    recording: Recording, services: Mapping[str, float], model: str, alone: float
) -> Floats:
    """What one queue gives each request of the model: its latency `alone`, and its waiting."""
    table = rows(recording)
    waited = lindley(table["intended"], table["model"].map(services))
    return alone + waited[(table["model"] == model).to_numpy()]


def explained(
    recording: Recording, services: Mapping[str, float], model: str, alone: float
) -> Interval:
    """Mean latency of the model's requests over what one queue gives these very requests.

    Blocks are drawn at the same places of both, so that the luck of the arrivals cancels. Unknown
    where a request of the model has failed, whose latency is none, and where `alone` is unknown.
    """
    part = recording.where(model=model)
    table = rows(part)
    if failures := int((~table["ok"].astype(bool)).sum()):
        reason = f"{failures} of {len(table)} requests to {model} have failed"
        return Interval.unknown(reason, "ratio", len(table))
    if math.isnan(alone):
        return Interval.unknown("what it takes alone is not known", "ratio", len(table))
    pair = [
        table["latency"].to_numpy(dtype=float),
        expected_latencies(recording, services, model, alone),
    ]
    block = max(bootstrap.block_length(series) for series in pair)
    found = resampled(lambda s: float(s[0].mean() / s[1].mean()), *pair, unit="ratio", block=block)
    return replace(found, note=found.note or Mean(scale=max(services.values()))(part).note)


def by_mean_time(
    recording: Recording, services: Mapping[str, float], model: str, alone: float
) -> Interval:
    """What one queue would give the model's requests if all took the mean time, over what it gives.

    So much says who squares the mean service time, and not each. Unknown where `alone` is.
    """
    table = rows(recording)
    mean = float(table["model"].map(services).mean())
    if math.isnan(alone) or math.isnan(mean):
        return Interval.unknown("what it takes alone is not known", "ratio", len(table))
    pair = [
        expected_latencies(recording, each, model, alone)
        for each in (dict.fromkeys(services, mean), services)
    ]
    block = max(bootstrap.block_length(series) for series in pair)
    return resampled(lambda s: float(s[0].mean() / s[1].mean()), *pair, unit="ratio", block=block)


@dataclass(frozen=True)
class Memory:
    """Bytes of a process: its base, and each model that it holds."""

    base: float
    model: float

    @classmethod
    def fit(cls, seen: Mapping[float, float]) -> "Memory":
        """From bytes by number of models. Raises ValueError for fewer than two numbers."""
        return cls(*Line.through(seen))

    def together(self, models: float, replicas: float = 1) -> float:
        """So many replicas of one service that holds all models."""
        return replicas * (self.base + models * self.model)

    def apart(self, models: float, replicas: float = 1) -> float:
        """A service for each model, the busiest with so many replicas and the others with one."""
        return (models - 1 + replicas) * (self.base + self.model)

    @property
    def crossover(self) -> float:
        """Replicas of the busiest model from which apart takes less; any number of models."""
        return 1 + self.base / self.model if self.model > 0 else math.inf


# --- memory -------------------------------------------------------------------------------------


def memory(stack: Stack) -> dict[str, float]:
    """Bytes that each service holds now; one that is down is not there."""
    used = stack.stats(0)["memory_mb"].groupby(level="service").sum()
    return {str(name): float(megabytes) * 1e6 for name, megabytes in used.items()}


def copies(count: int) -> str:
    """What MODELS is to hold so many models of one kind."""
    return " ".join(f"model-{number}=/models/good.onnx" for number in range(count))


# --- the platform -------------------------------------------------------------------------------


class Platform:
    """Does what a platform of containers does: starts what has died, and writes down memory.

    `pause` is how many seconds it waits before it starts a service again. `deaths` is what it has
    seen. Use it as a context manager; what goes wrong in it is raised at its end.
    """

    def __init__(self, stack: Stack, services: Sequence[str], pause: float) -> None:
        self.stack, self.services, self.pause = stack, tuple(services), pause
        self.deaths: list[Change] = []
        self._samples: list[tuple[str, float, float]] = []
        self._over, self._releasing = threading.Event(), threading.Event()

    def __enter__(self) -> "Platform":
        self._pool = ThreadPoolExecutor()
        self._work = [self._pool.submit(self._watch), self._pool.submit(self._weigh)]
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._pool:
            for work in self._work:
                work.result()

    def recover(self, seconds: float) -> None:
        """Wait until each of its services has died and is back, and for so many seconds at most.

        A machine that is too busy for the traffic may not come to the death of a service.
        """
        for _ in tries(seconds):
            back = {death.service for death in self.deaths if death.end is not None}
            if back >= set(self.services):
                return

    def release(self, environment: Mapping[str, str]) -> tuple[float, float]:
        """Roll a changed environment out to all its services at once; Unix seconds of both ends."""
        self._releasing.set()  # who is stopped for a release has not died
        begin = time.time()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: self.stack.rollout(name, environment), self.services))
        end = time.time()
        self._releasing.clear()
        return begin, end

    def first(self, service: str) -> Change:
        """The first death of a service; a time that nobody has seen is nan."""
        for death in self.deaths:
            if death.service == service:
                return death if death.end is not None else replace(death, end=math.nan)
        return Change("out of memory:", service, math.nan, math.nan)

    def down(self, until: float) -> list[Change]:
        """The deaths before `until` (Unix seconds) as one change, to its last end; or none."""
        deaths = [death for death in self.deaths if death.start < until]
        if not deaths:
            return []
        ends = [death.end for death in deaths if death.end is not None]
        end = max(ends) if len(ends) == len(deaths) else None
        return [Change("out of memory", "", deaths[0].start, end)]

    def memory(self, service: str, begin: float, end: float) -> dict[float, float]:
        """Bytes of a service from `begin` to `end` (Unix seconds), by seconds after `begin`."""
        return {
            at - begin: size
            for name, at, size in self._samples
            if name == service and begin <= at < end
        }

    def _watch(self) -> None:
        starting = []
        while not self._over.wait(0.05):
            down = {death.service for death in self.deaths if death.end is None}
            states = self.stack.states()
            if self._releasing.is_set():
                continue
            for replica in states:
                name = replica.service
                if replica.state == "exited" and name in self.services and name not in down:
                    self.deaths.append(Change("out of memory:", name, time.time(), None))
                    starting.append(self._pool.submit(self._start, len(self.deaths) - 1))
        for each in starting:
            each.result()

    def _start(self, place: int) -> None:
        time.sleep(self.pause)
        self.stack.start(self.deaths[place].service)
        self.deaths[place] = replace(self.deaths[place], end=time.time())

    def _weigh(self) -> None:
        while not self._over.wait(0.2):
            weighed = memory(self.stack)
            now = time.time()  # Docker takes a second to answer, and tells what is there at its end
            self._samples += [(name, now, size) for name, size in weighed.items()]


def growth(seen: Mapping[float, float]) -> Interval:
    """Bytes per second by which memory has grown from one look to the next, on average.

    It is counted in pages: by one of them it may have grown where it seems the same. Unknown of
    fewer than two looks.
    """
    if len(seen) < 2:
        return Interval.unknown(f"memory was looked at {len(seen)} times, growth needs 2", "bytes")
    at = list(seen)
    grown = t_interval(np.diff(list(seen.values())) / np.diff(at), "bytes")
    page = resource.getpagesize() / (at[-1] - at[0])
    low, high = min(grown.low, grown.value - page), max(grown.high, grown.value + page)
    return replace(grown, low=low, high=high)


def fastest(*grown: Interval, either_way: bool = False) -> Interval:
    """The growth that may be the largest, with `either_way` or shrinking; unknown where one is."""
    for each in grown:
        if not each.known:
            return each
    if either_way:
        nothing = Interval.exact(0, "bytes")
        grown = tuple(nothing.minus(each) if each.value < 0 else each for each in grown)
    return max(grown, key=lambda each: each.high)
