"""What the lab reads off the stack, what theory expects, and a chart; no service imports this."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count, product
from typing import Any
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
import pandas as pd

from lab_services.models import features, payloads, scoring, store
from lab_services.patterns.serving.microservice_horizontal.parts import (
    PARTS,
    in_the_place_of,
    log_odds,
)
from lab_services.report.rounds import t_interval
from lab_services.report.stats import Interval, rows
from lab_services.stack import Stack
from lab_services.traffic.mixing import interleave
from lab_services.traffic.recording import Recording
from lab_services.traffic.request import Label, Request
from lab_services.traffic.schedules import Schedule, poisson

Floats = npt.NDArray[np.float64]
OTHERS = 200  # as compose.yaml tells the branches
_numbers = count(1)
_CHUNK = 500
_ACCEPTED = 202


# --- requests that can be found again -----------------------------------------------------------


def orders(
    stack: Stack,
    flights: Sequence[Mapping[str, Any]],
    requests: int,
    path: str = "/predict",
    *,
    arm: Label = "",
    **order: float | bool,
) -> list[Request]:
    """So many requests to the front, each with a number of its own and the label `arm`.

    `order` is how the front is to ask: fan, deadline (s), hedge (s), breaker.
    """
    query = "?" + urlencode({name: str(value) for name, value in order.items()}) if order else ""
    url = stack.url("front", path + query)
    made = []
    for place in range(requests):
        flight, number = place % len(flights), next(_numbers)
        labels: dict[str, Label] = {"arm": arm, "number": number, "flight": flight}
        made.append(
            Request(url, json=flights[flight], headers={"x-request": str(number)}, labels=labels)
        )
    return made


def arms(
    stack: Stack,
    flights: Sequence[Mapping[str, Any]],
    ways: Mapping[Label, Mapping[str, Any]],
    *,
    each: int,
    rate: float,
    seed: int = 0,
    oftener: Mapping[Label, int] | None = None,
) -> tuple[list[Request], Schedule]:
    """Requests that take several ways in turn, and arrivals for at least `each` of every way.

    `ways` says for each label how the front is to ask, as `orders` takes it; a way that stands in
    `oftener` gets so many times as many. `rate` is in requests per second over all ways.
    """
    turns = [label for label in ways for _ in range((oftener or {}).get(label, 1))]
    wanted = each * len(turns)
    # Three standard deviations of a Poisson count more than are wanted.
    schedule = poisson(rate, (wanted + 3 * math.sqrt(wanted)) / rate, seed)
    enough = -(-len(schedule) // len(turns))
    streams = [orders(stack, flights, enough, arm=label, **ways[label]) for label in turns]
    return interleave(*streams), schedule


def with_joins(stack: Stack, recording: Recording) -> Recording:
    """The recording with what the front noted of each request.

    The new columns are `sent`, how many calls it made; `seconds`, what each branch took; and
    `arrived`, the branches in the answer. Where the front noted nothing they are 0 and empty.
    """
    table = recording.table
    after = int(table["number"].min()) - 1
    # What has just been overloaded, on a busy machine, may take its time to answer.
    joins = stack.json("front", f"/joins?after={after}", patience=60)
    noted = {each["request"]: each for each in joins}
    found = [noted.get(number, {}) for number in table["number"]]
    return replace(
        recording,
        table=table.assign(
            sent=[each.get("sent", 0) for each in found],
            seconds=pd.Series([tuple(each.get("seconds", ())) for each in found]),
            arrived=pd.Series([tuple(each.get("arrived", ())) for each in found]),
        ),
    )


def with_answers(stack: Stack, recording: Recording) -> Recording:
    """The recording of submitted flights, with the seconds until the last branch had answered.

    They are in the column `joined`, by the clock of Redis from the entry in the stream on; nan
    where a branch has not answered yet.
    """
    with stack.redis("queue", text=False) as redis:
        entries = redis.xrange("flights")
        ends = {fields[b"flight"]: _when(ident) for ident, fields in redis.xrange("joined")}
    took = {
        int(fields[b"request"]): ends.get(ident, math.nan) - _when(ident)
        for ident, fields in entries
    }
    joined = [took.get(number, math.nan) for number in recording.table["number"]]
    return replace(recording, table=recording.table.assign(joined=joined))


def _when(ident: bytes) -> float:
    """Seconds: the identifier of a stream's entry begins with its time in milliseconds."""
    return int(ident.split(b"-")[0]) / 1000


# --- from recordings ----------------------------------------------------------------------------


def call_seconds(recording: Recording) -> Floats:
    """What each call of each request took, in seconds."""
    return np.concatenate([*rows(recording)["seconds"], ()]).astype(float)


def call_quantile(recording: Recording, q: float) -> Interval:
    """What a share `q` of the calls took at most; unknown where the front noted none."""
    took = call_seconds(recording)
    if not len(took):
        return Interval.unknown("the front has noted no call", "s")
    return Interval.exact(float(np.quantile(took, q)), "s")


def kinds(recording: Recording) -> dict[tuple[str, ...], float]:
    """Which branches the answers of a recording are made of, and the share of each such kind."""
    table = rows(recording)
    answered = table.loc[table["ok"].astype(bool), "arrived"]
    return {kind: number / len(answered) for kind, number in Counter(answered).items()}


def extra_load(recording: Recording, fan: int) -> Interval:
    """Calls beyond one for each branch, as a share of those, where the front noted them."""
    sent = rows(recording)["sent"]
    sent = sent[sent > 0]
    # Requests that stand in one queue are late together, and asked again together.
    return t_interval(sent / fan - 1, "share", least=0, dependent=True)


# --- theory -------------------------------------------------------------------------------------


def slow_share(p: float, branches: float, calls: int = 1) -> float:
    """Share of requests that meet a slow branch: 1 - (1 - p^calls)^branches.

    Each call is slow with the chance `p`, independently, and a branch is slow where all of its
    `calls` are: Dean and Barroso, "The Tail at Scale", Communications of the ACM 56 (2), 2013.
    Raises ValueError for a chance outside of 0 to 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"{p} is no chance.")
    return float(1 - (1 - p**calls) ** branches)


def branches_until(p: float, share: float) -> float:
    """With how many branches that share of the requests meets a slow one; the inverse of the above.

    Raises ValueError unless both are between 0 and 1.
    """
    if not (0 < p < 1 and 0 < share < 1):
        raise ValueError("Both are between 0 and 1.")
    return math.log1p(-share) / math.log1p(-p)


Delays = Mapping[str, tuple[float, float]]
"""For each slow branch: by how many seconds, and what share of its calls."""


Answers = Mapping[tuple[str, ...], float]
"""Kinds of answers by the branches in them, and how frequent each is."""


def arrivals(delays: Delays, deadline: float) -> Answers:
    """How likely it is that just these branches have answered at the deadline (s)."""
    late = {part: share for part, (seconds, share) in delays.items() if seconds >= deadline}
    found: dict[tuple[str, ...], float] = {}
    for missing in product((False, True), repeat=len(late)):
        gone = {part for part, away in zip(late, missing, strict=True) if away}
        chance = math.prod(late[p] if p in gone else 1 - late[p] for p in late)
        found[tuple(part for part in PARTS if part not in gone)] = chance
    return found


def complete_share(delays: Delays, deadline: float) -> float:
    """Share of requests that all branches have answered at the deadline (s)."""
    return arrivals(delays, deadline)[tuple(PARTS)]


# --- quality ------------------------------------------------------------------------------------


class Quality:
    """What answers are worth that lack some of their branches: judged by what became of flights.

    It asks the model without a service, about so many flights of November and December.
    """

    def __init__(self, flights: int = 5_000) -> None:
        path = store.model_path("good")
        codes = features.Codes(**store.verify(path)["codes"])
        score = scoring.scorer(path)

        def asked(made: npt.NDArray[np.float32]) -> Floats:
            return score(made).astype(float)

        asked_about = payloads.flights(flights, seed=1, months=(11, 12))
        table = features.prepare(asked_about, codes)
        became = payloads.outcomes(flights, seed=1, months=(11, 12))
        self.late = np.array(became, dtype=np.bool_)
        self.whole = asked(table)
        others = features.prepare(payloads.flights(OTHERS, seed=7, months=(10,)), codes)
        usual = float(log_odds(asked(others).mean()))
        self._moves = {}
        for part, names in PARTS.items():
            columns = [features.FEATURES.index(name) for name in names]
            # Many flights share a carrier, a route or an hour's weather: each is asked once.
            _, first, place = np.unique(
                table[:, columns], axis=0, return_index=True, return_inverse=True
            )
            odds = [
                log_odds(
                    asked(in_the_place_of(table[some], part, others))
                    .reshape(len(some), OTHERS)
                    .mean(axis=1)
                )
                for some in np.array_split(first, -(-len(first) // _CHUNK))
            ]
            self._moves[part] = (np.concatenate(odds) - usual)[place.ravel()]

    def of(self, answers: Answers, requests: int | None = None) -> Interval:
        """AUC of answers of these kinds, each as frequent as it stands there.

        The interval is that of DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988: the variance
        of an AUC from what each flight adds to it. Where the kinds were counted among so many
        `requests`, it holds the chance of that too.
        """
        late, punctual, by_kind = self._adds(answers)
        return self._interval(late, punctual, by_kind / requests if requests else 0.0)

    def lost(self, answers: Answers, requests: int | None = None) -> Interval:
        """AUC of complete answers less that of answers of these kinds, on the same flights.

        Unknown where there is no answer.
        """
        if not answers:
            return Interval.unknown("no request was answered")
        complete, found = self._adds({tuple(PARTS): 1.0}), self._adds(answers)
        by_kind = found[2] / requests if requests else 0.0
        return self._interval(complete[0] - found[0], complete[1] - found[1], by_kind)

    def of_one_model(self) -> Interval:
        """AUC of the trees where they are told everything at once."""
        return self._interval(*adds_to_auc(self.late, self.whole[:, None], np.ones(1)))

    def _adds(self, answers: Answers) -> tuple[Floats, Floats, float]:
        odds = np.zeros((len(self.late), len(answers)))
        for place, kind in enumerate(answers):
            for part in kind:
                odds[:, place] += self._moves[part]
        shares = np.array(list(answers.values()), dtype=float)
        return adds_to_auc(self.late, odds, shares / shares.sum())

    def _interval(self, late: Floats, punctual: Floats, by_kind: float) -> Interval:
        value = float(late.mean())
        variance = late.var(ddof=1) / len(late) + punctual.var(ddof=1) / len(punctual) + by_kind
        reach = 1.96 * math.sqrt(variance)
        return Interval(value, value - reach, value + reach, len(self.late))


def adds_to_auc(
    late: npt.NDArray[np.bool_], odds: Floats, shares: Floats
) -> tuple[Floats, Floats, float]:
    """What each late and each punctual flight adds to the AUC, and its variance by kind of answer.

    `odds` has a row for each flight and a column for each kind of answer, which a flight gets with
    the chance in `shares`. A late flight adds the share of punctual ones that it is told apart
    from, and the converse; the mean of either is the AUC, and a tie counts one half. The variance
    is that of the AUC where one request decides which kind there is.
    """

    def below(of: Floats, others: Floats) -> Floats:
        order = np.argsort(others, axis=None)
        ordered = others.ravel()[order]
        weights = np.tile(shares / len(others), len(others))[order]
        total = np.concatenate([[0.0], np.cumsum(weights)])
        left = total[np.searchsorted(ordered, of, side="left")]
        right = total[np.searchsorted(ordered, of, side="right")]
        found: Floats = (left + right) / 2
        return found

    of_late, of_punctual = below(odds[late], odds[~late]), 1 - below(odds[~late], odds[late])
    slope = of_late.mean(axis=0) + of_punctual.mean(axis=0)
    by_kind = max(float(slope**2 @ shares - (slope @ shares) ** 2), 0.0)
    return of_late @ shares, of_punctual @ shares, by_kind


# --- for the chart ------------------------------------------------------------------------------

KINDS = _COMPLETE, _PARTIAL, _TAKEN, _NONE = ("complete", "partial", "taken in", "no answer")


def points(recording: Recording, partial: int = 203) -> pd.DataFrame:
    """What `charts.scatter` shows of each request: one of the KINDS, and how long it took.

    A recording with the column `joined` has two rows a request: when it was taken in, and when the
    last branch had answered.
    """
    table = rows(recording)
    whole = np.where(table["status"] == partial, _PARTIAL, _COMPLETE)
    whole = np.where(table["status"] == _ACCEPTED, _TAKEN, whole)
    kind = np.where(table["ok"].astype(bool), whole, _NONE)
    found = pd.DataFrame({"asked": table["intended"], "took": table["latency"], "kind": kind})
    if "joined" in table:
        # A join may take less than the millisecond that its clock tells.
        joined = found.assign(took=table["joined"].clip(lower=0.001), kind=_COMPLETE)
        found = pd.concat([found, joined.dropna()], ignore_index=True)
    return found
