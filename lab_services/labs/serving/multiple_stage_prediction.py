"""What the lab sends and reads off a run; no service imports this module."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from lab_services.models import features, store
from lab_services.models.scoring import scorer
from lab_services.report.resampling import resampled
from lab_services.report.rounds import t_interval
from lab_services.report.stats import Interval
from lab_services.services.forecasts import changes, sampled
from lab_services.services.worker import wait_until_done
from lab_services.stack import Stack
from lab_services.traffic.recording import Recording
from lab_services.traffic.request import Request
from lab_services.traffic.schedules import Schedule

PATIENCE = 300.0  # seconds for the queue to drain
WAIT = 20  # seconds that a page's held request stays open
Numbers = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]


# --- what is sent --------------------------------------------------------------------------------


def screens(
    stack: Stack,
    flights: Sequence[Mapping[str, Any]],
    name: str,
    count: int,
    samples: int,
    *,
    path: str = "/screens",
    sessions: int = 1,
    margin: float = 1.0,
    patience: float = 0.0,
    **labels: str | int,
) -> list[Request]:
    """`count` screens that open, each of a session drawn by lot, and so at random times.

    Labels are `screen`, `session`, `stage` (first) and `number`, the place of the screen's flight
    in `flights`. Names must differ from one call to the next, or an old answer is found at once.
    """
    url = stack.url("front", path)
    drawn = np.random.default_rng(0).integers(0, sessions, count)
    made = []
    for place in range(count):
        ids = {"screen": f"{name}-{place}", "session": f"{name}-of-{drawn[place]}"}
        number = place % len(flights)
        asked = {"margin": margin, "samples": samples, "patience": patience}
        body = {**ids, "flight": flights[number], **asked}
        own: dict[str, Any] = {**ids, "stage": "first", "number": number}
        made.append(Request(url, json=body, labels={**own, **labels}))
    return made


def with_id(stack: Stack, opened: Sequence[Request]) -> list[Request]:
    """For each screen the held request for its good answer (the label `stage` is `good`)."""
    return _held(stack, opened, "good", "/screens/{screen}")


def without_id(stack: Stack, opened: Sequence[Request]) -> list[Request]:
    """For each screen a held request that takes what comes next for its session (`next`)."""
    return _held(stack, opened, "next", "/sessions/{session}/next")


def _held(stack: Stack, opened: Sequence[Request], stage: str, path: str) -> list[Request]:
    front = stack.url("front")
    return [
        Request(
            f"{front}{path.format(**each.labels)}?wait={WAIT}",
            "GET",
            labels={**each.labels, "stage": stage},
        )
        for each in opened
    ]


def at_once(
    schedule: Schedule, *streams: Sequence[Request | None]
) -> tuple[list[Request], Schedule]:
    """At each arrival the next request of every stream; a stream's None sends nothing there."""
    requests, offsets = [], []
    for moment, together in zip(schedule.offsets.tolist(), zip(*streams, strict=True), strict=True):
        for request in together:
            if request is not None:
                requests.append(request)
                offsets.append(moment)
    return requests, Schedule(np.array(offsets), schedule.seconds, schedule.name)


def three_ways(
    stack: Stack,
    flights: Sequence[Mapping[str, Any]],
    name: str,
    schedule: Schedule,
    samples: int,
    *,
    seed: int = 0,
) -> tuple[list[Request], Schedule]:
    """Each arrival goes by lot one of three ways: rough only, good only, both in stages.

    The label `way` says which. All three meet the same services at the same time.
    """
    count = len(schedule)
    make = {
        "rough only": {"margin": 0.0},
        "good only": {"path": "/screens/good"},
        "staged": {},
    }
    by_way: dict[str, list[Request]] = {
        way: screens(stack, flights, f"{name}-{way[0]}", count, samples, way=way, **kind)  # type: ignore[arg-type]
        for way, kind in make.items()
    }
    drawn = np.random.default_rng(seed).choice(list(make), count).tolist()
    opened = [by_way[way][place] for place, way in enumerate(drawn)]
    later: list[Any] = with_id(stack, opened)
    held = [each if way == "staged" else None for each, way in zip(later, drawn, strict=True)]
    for place, way in enumerate(drawn):  # who has no first answer has the good one only
        if way == "good only":
            first = opened[place]
            opened[place] = replace(first, labels={**first.labels, "stage": "good"})
    return at_once(schedule, opened, held)


# --- from the running stack ----------------------------------------------------------------------


def drained(stack: Stack, patience: float = PATIENCE) -> None:
    """Wait until no job is left. Raises LabError where that takes too long."""
    with stack.redis("queue") as queue:
        wait_until_done(queue, patience=patience)


def work(stack: Stack) -> pd.DataFrame:
    """What the worker has done since this was last asked, once it has nothing left to do.

    One row a job, in order: `screen`, `queued` and `finished` in Unix seconds, `rough` and `good`
    probability; `good` is nan where the job was too old and was skipped.
    """
    drained(stack)
    with stack.redis("queue") as queue, queue.pipeline(transaction=True) as steps:
        steps.lrange("log", 0, -1)
        steps.delete("log")
        lines, _ = steps.execute()
    columns = ["screen", "queued", "finished", "rough", "good"]
    table = pd.DataFrame([orjson.loads(line) for line in lines], columns=columns)
    return table.astype(dict.fromkeys(columns[1:], float))


# --- delays --------------------------------------------------------------------------------------


def gaps(done: pd.DataFrame) -> Numbers:
    """Seconds from one finish to the next: of a pile of jobs, the service times; nan for no two."""
    between = np.diff(np.sort(done["finished"].to_numpy(dtype=float)))
    return between if len(between) else np.array([math.nan])


def median(seconds: Numbers) -> Interval:
    """Their median in seconds, by bootstrap."""
    return resampled(lambda drawn: float(np.median(drawn[0])), seconds, unit="s")


def delays(recording: Recording, stage: str, **labels: object) -> Numbers:
    """Seconds until the answers of that stage, in order; infinite for those that did not come."""
    table = recording.where(stage=stage, **labels).measured
    came = table["ok"] & (table["status"] == 200)
    return table["latency"].where(came, math.inf).to_numpy(dtype=float)


def asked_and_told(recording: Recording, done: pd.DataFrame) -> pd.DataFrame:
    """One row a screen: `asked` (Unix seconds), and seconds until the `first` and `good` answer.

    `good` is by the worker's clock, and infinite where the answer never came: not asked for, or
    skipped.
    """
    table = recording.measured
    table = table[table["stage"] == "first"]
    finished = done[done["good"].notna()].set_index("screen")["finished"]
    waited = table["screen"].map(finished) - table["intended"]
    return pd.DataFrame(
        {
            "asked": table["intended"].to_numpy(dtype=float),
            "first": table["latency"].where(table["ok"], math.inf).to_numpy(dtype=float),
            "good": waited.fillna(math.inf).to_numpy(dtype=float),
        }
    )


# --- who still looks -----------------------------------------------------------------------------


def still_there(waited: Numbers, patience: float) -> Interval:
    """Share of screens that are still looked at when their good answer comes.

    Users leave after an exponential time with mean `patience` (seconds), whatever they see: of
    those who would wait w, exp(-w / patience) are still there.
    """
    return _share(np.exp(-waited / patience))


def still_there_expected(
    patience: float, rate: float, service: float, overhead: float = 0.0
) -> float:
    """The same by theory: one worker, Poisson arrivals, every job as long as the other.

    The mean of exp(-T / patience) over the times T in the system is their Laplace transform at
    s = 1 / patience, which Pollaczek and Khinchine found: B (1 - r) s / (s - rate (1 - B)), with B
    that of the service time and r the utilisation (Kleinrock, "Queueing Systems" volume 1, 1975,
    section 5.7). None is there from saturation on, where there is no steady state.
    """
    if rate * service >= 1:
        return 0.0
    s = 1 / patience
    served = math.exp(-service * s)
    inside = served * (1 - rate * service) * s / (s - rate * (1 - served))
    return inside * math.exp(-overhead * s)


def elsewhere(recording: Recording) -> Interval:
    """Share of screens that heard the answer to another screen first, of those that heard any."""
    table = recording.where(stage="next").measured
    table = table[table["answered_by"] != ""]
    wrong = np.asarray(table["answered_by"] != table["screen"], dtype=float)
    return _share(wrong)


def wrong_updates(recording: Recording, stage: str) -> int:
    """How many screens were told what was meant for another."""
    table = recording.where(stage=stage).measured
    return int(((table["answered_by"] != "") & (table["answered_by"] != table["screen"])).sum())


# --- how good answers are ------------------------------------------------------------------------


def forecasts(
    flights: Sequence[Mapping[str, Any]], samples: int, error: float
) -> tuple[Numbers, Numbers]:
    """What the rough and the good stage say of each flight, asked without a service.

    Fewer samples than the worker uses give the same answer within a little noise.
    """
    codes = features.Codes(**store.card("good")["codes"])
    rows = features.prepare(flights, codes)
    rough = scorer(store.model_path("rough"))(rows).astype(float)
    ask = scorer(store.model_path("good"))
    by = changes(samples, error)
    parts = np.array_split(rows, max(1, len(rows) // 2000))
    good = [ask(sampled(part, by)).reshape(-1, samples).mean(axis=1) for part in parts]
    return rough, np.concatenate(good).astype(float)


def brier(late: Truths, chances: Numbers | float) -> float:
    """Mean squared distance between what was said and what happened; 0 is perfect."""
    return float(np.mean((np.asarray(chances, dtype=float) - late) ** 2))


def worth(late: Truths, chances: Numbers, good: Numbers, known: float) -> float:
    """How much of the good model's gain an answer has: 0 for a blank screen, 1 for the good one.

    A gain is what the Brier score improves over saying the probability `known` beforehand of
    every flight. Raises ValueError where the good model gains nothing.
    """
    blank, best = brier(late, known), brier(late, good)
    if best >= blank:
        raise ValueError("The good model says no more than what is known beforehand.")
    return (blank - brier(late, chances)) / (blank - best)


def on_screen(
    first: Numbers | None, good: Numbers | None, rough_worth: float, at: Numbers
) -> Numbers:
    """What screens are worth on average, `at` so many seconds after they were opened.

    A blank screen is worth 0, a good answer 1. `first` and `good` are when each came.
    """
    shown = np.zeros(len(at))
    if first is not None:
        shown += rough_worth * np.searchsorted(np.sort(first), at, side="right") / len(first)
    if good is not None:
        had = 0.0 if first is None else rough_worth
        shown += (1 - had) * np.searchsorted(np.sort(good), at, side="right") / len(good)
    return shown


def over_time(
    first: Numbers | None, good: Numbers | None, rough_worth: float, horizon: float
) -> Interval:
    """What a screen is worth on average over its first `horizon` seconds."""
    total: Numbers | float = 0.0
    if first is not None:
        total = total + rough_worth * (1 - np.minimum(first, horizon) / horizon)
    if good is not None:
        had = 0.0 if first is None else rough_worth
        total = total + (1 - had) * (1 - np.minimum(good, horizon) / horizon)
    return _share(np.asarray(total, dtype=float))


def _share(of: Numbers) -> Interval:
    """The mean of shares of neighbours, who are alike."""
    return t_interval(of, "share", least=0.0, most=1.0, dependent=True)


def selected(rough: Numbers, good: Numbers, threshold: float, margin: float) -> tuple[float, float]:
    """Of all screens, and of the answers that change: which share is asked for at that margin."""
    asked = np.abs(rough - threshold) < margin
    changed = (rough > threshold) != (good > threshold)
    if not changed.any():
        raise ValueError("The good model changes no answer.")
    return float(asked.mean()), float(asked[changed].mean())


# --- a worker that stands still ------------------------------------------------------------------


def expected_delay(
    asked: Numbers, pause: tuple[float, float], rate: float, service: float
) -> Numbers:
    """Seconds until the good answer of screens opened at those moments, around a pause.

    The work that has piled up at a moment, what is left of the pause, and the service: the fluid
    limit (Newell, "Applications of Queueing Theory", 2nd edition, 1982, chapter 2).
    """
    begin, end = pause
    busy = rate * service
    piled = busy * np.clip(asked - begin, 0, end - begin)
    left = np.where((asked >= begin) & (asked < end), end - asked, 0.0)
    drained_since = (1 - busy) * np.clip(asked - end, 0, None)
    return np.asarray(np.maximum(piled - drained_since, 0) + left + service, dtype=float)


def expected_drain(pause: float, rate: float, service: float, limit: float) -> float:
    """Seconds after a pause until the delay of a new screen has come down to `limit`.

    By the fluid limit, as `expected_delay`. nan where the worker has no time left to catch up.
    """
    busy = rate * service
    if not busy < 1:
        return math.nan
    return max(0.0, (busy * pause + service - limit) / (1 - busy))


def felt_for(screens: pd.DataFrame, end: float, limit: float) -> Interval:
    """Seconds after `end` (Unix) until the delay of a new screen has come down to `limit`.

    A line through the delays of the screens that were late after it. Unknown from fewer than six,
    and where the delays do not fall.
    """
    late = screens[(screens["asked"] >= end) & (screens["good"] > limit)]
    late = late[np.isfinite(late["good"])]
    if len(late) < 6:
        return Interval.unknown(f"{len(late)} screens were late, a line needs 6", "s", len(late))

    def crossing(drawn: Sequence[Numbers]) -> float:
        since, took = drawn
        if np.ptp(since) == 0:
            return math.nan
        slope, start = np.polyfit(since, took, 1)
        return float((limit - start) / slope) if slope < 0 else math.nan

    return resampled(
        crossing, late["asked"].to_numpy() - end, late["good"].to_numpy(), unit="s", block=2
    )


def late_after(screens: pd.DataFrame, end: float, limit: float) -> tuple[float, float]:
    """Of the screens opened after `end` (Unix seconds): those whose good answer was late.

    Late is more than `limit` seconds after, or never. How many seconds after `end` the last of them
    was opened, and how many there were; zeros where there was none, nan where no screen was opened.
    """
    if not (screens["asked"] >= end).any():
        return math.nan, math.nan
    late = screens.loc[(screens["asked"] >= end) & (screens["good"] > limit), "asked"]
    return (float(late.max() - end), len(late)) if len(late) else (0.0, 0)
