"""What the lab sends and reads off, and the theory; no service imports this."""

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import psycopg
from psycopg.rows import dict_row

from lab_services import report
from lab_services.patterns.qa.shadow_ab_test import notes
from lab_services.report import Interval
from lab_services.stack import Stack, loopback
from lab_services.stack.tables import read
from lab_services.traffic import Recording, Request

Flights = Sequence[Mapping[str, Any]]
Counts = npt.NDArray[np.int64]
Costs = npt.NDArray[np.float64]
Shadow = Callable[[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""A coroutine function of two others: one asks production, the other the candidate."""

# Where users come in, by how the candidate is asked beside production.
WAYS = {
    "mirrored": ("proxy", "/predict"),
    "alone": ("front", "/alone/predict"),
    "guarded": ("front", "/guarded/predict"),
    "naive": ("front", "/naive/predict"),
}
WAITING = ("upstream_rq_active", "upstream_rq_pending_active")
DROPPED = "upstream_rq_pending_overflow"


# --- requests -------------------------------------------------------------------------------------


def asking(
    stack: Stack, way: str, experiment: str, flights: Flights, **labels: str | int | float
) -> list[Request]:
    """A request for each flight, whose id names the experiment, the way and the flight's place.

    The requests carry `labels`, the way and the flight's place.

    Raises KeyError for a way that there is not.
    """
    service, path = WAYS[way]
    url = stack.url(service, path, port=8080 if service == "proxy" else None)
    return [
        Request(
            url,
            json=flight,
            headers={"x-request-id": f"{experiment}-{way}-{number}"},
            labels={"way": way, "flight": number, **labels},
        )
        for number, flight in enumerate(flights)
    ]


def mirror(stack: Stack, share: float) -> None:
    """Let the proxy mirror that share of the requests, in whole per cents.

    Raises ValueError for what is no such share, httpx.HTTPError where the proxy does not answer.
    """
    per_cent = round(share * 100)
    if not 0 <= share <= 1 or abs(per_cent - share * 100) > 1e-9:
        raise ValueError(f"{share} is no share in whole per cents.")
    url = stack.url("proxy", f"/runtime_modify?mirror.share={per_cent}", port=9901)
    loopback.post(url, timeout=60).raise_for_status()


# --- the log --------------------------------------------------------------------------------------


class Log:
    """The lab's own connection to the table of answers."""

    def __init__(self, url: str) -> None:
        self._database = psycopg.connect(url, autocommit=True, row_factory=dict_row)

    @classmethod
    def of(cls, stack: Stack) -> Self:
        """Of a running stack."""
        return cls(stack.postgres_url("log"))

    def close(self) -> None:
        self._database.close()

    def joined(self, experiment: str, patience: float = 5.0) -> pd.DataFrame:
        """A row for each request that production answered, beside the candidate's answer.

        `place` is the flight's place in the list that was asked about; the candidate's columns are
        empty where it has not answered. What is still on its way is waited for until something has
        come and then nothing new for half a second, and for `patience` seconds at most. No row
        where the log knows nothing of the experiment by then.
        """
        until, known = time.monotonic() + patience, 0
        answers = "FROM answers WHERE starts_with(request, %s)"
        while (found := self._counted(answers, experiment)) == 0 or found != known:
            if time.monotonic() > until:
                break
            known = found
            time.sleep(5 * notes.EVERY_SECONDS)
        table = read(self._database, notes.JOINED, [f"{experiment}-"])
        place = table["request"].str.rsplit("-", n=1).str[-1].astype(int)
        return table.assign(place=place, answered=table["candidate"].notna())

    def notices(self, experiment: str, model: str) -> int:
        """How many notices a model has sent to travellers."""
        return self._counted(
            "FROM notices WHERE starts_with(request, %s) AND model = %s", experiment, model
        )

    def told_twice(self, experiment: str) -> int:
        """How many requests led to more than one notice."""
        return self._counted(
            "FROM (SELECT request FROM notices WHERE starts_with(request, %s)"
            " GROUP BY request HAVING count(*) > 1) AS twice",
            experiment,
        )

    def _counted(self, of: str, experiment: str, *values: str) -> int:
        """How many rows of the experiment there are."""
        rows = read(self._database, f"SELECT count(*) AS n {of}", [f"{experiment}-", *values])
        return int(rows["n"].iloc[0])


def with_flights(table: pd.DataFrame, flights: Flights, late: Sequence[bool]) -> pd.DataFrame:
    """The joined rows in the flights' order, with what is known of each and if it was late."""
    about = pd.DataFrame(list(flights)).assign(late=list(late))
    return table.join(about, on="place").sort_values("place", ignore_index=True)


# --- what the joined rows tell --------------------------------------------------------------------


def agreement(table: pd.DataFrame) -> Interval:
    """Share of the requests answered by both on which both say the same; unknown without one."""
    both = table[table["answered"]]
    same = both["production_late"] == both["candidate_late"]
    return report.share(same)


def answered(table: pd.DataFrame) -> Interval:
    """Share of production's requests that the candidate has answered too; unknown without one."""
    return report.share(table["answered"])


def first_silent(table: pd.DataFrame) -> Interval:
    """The place, from 1, of the first request that the candidate has not answered."""
    silent = np.flatnonzero(~table["answered"].to_numpy(dtype=bool))
    if not len(silent):
        return Interval.unknown("no request was left without the candidate's answer")
    return Interval.exact(int(silent[0]) + 1)


def disagreements(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """The flights on which the two differ, the furthest apart first."""
    both = table[table["answered"]]
    differ = both[both["production_late"] != both["candidate_late"]]
    apart = (differ["candidate"] - differ["production"]).abs()
    return differ.loc[apart.sort_values(ascending=False, kind="stable").index].head(most)


def costs(table: pd.DataFrame, missed: float) -> pd.DataFrame:
    """What each model's answer to a flight costs, for the requests that both have answered.

    A false alarm costs 1, a late flight that was not called late costs `missed`, all else nothing.
    """
    both = table[table["answered"]]
    late = both["late"].astype(bool)
    cost = {}
    for model in ("production", "candidate"):
        alarm = both[f"{model}_late"].astype(bool)
        cost[model] = (alarm & ~late) + missed * (~alarm & late)
    return pd.DataFrame(cost)


def saved_paired(costs: pd.DataFrame, unit: str) -> Interval:
    """By how much a flight is cheaper with the candidate: both were asked about each flight.

    The mean of the differences flight by flight. Unknown without flights.
    """
    return report.t_interval(costs["production"] - costs["candidate"], unit)


def saved_split(costs: pd.DataFrame, unit: str) -> Interval:
    """The same from the same flights, had only one model been asked about each, in turns.

    The difference of two independent means. Unknown for fewer than two flights.
    """
    production = report.t_interval(costs["production"].iloc[::2], unit)
    return production.minus(report.t_interval(costs["candidate"].iloc[1::2], unit))


def width(interval: Interval) -> float:
    """From one end to the other."""
    return interval.high - interval.low


def narrower(costs: pd.DataFrame) -> Interval:
    """The width of the interval from pairs over that from a split; unknown where nothing varies.

    Flights are drawn with repetition.
    """

    def of(drawn: Sequence[Costs]) -> float:
        flights = pd.DataFrame(dict(zip(costs.columns, drawn, strict=True)))
        split = width(saved_split(flights, ""))
        return width(saved_paired(flights, "")) / split if split else math.nan

    return report.resampled(of, *(costs[model].to_numpy() for model in costs), unit="ratio")


def worst(shares: Sequence[Interval]) -> Interval:
    """The one whose upper end is the highest; one that is not known may be the worst."""
    unknown = [share for share in shares if not share.known]
    return unknown[0] if unknown else max(shares, key=lambda share: share.high)


# --- what the services and recordings tell --------------------------------------------------------


def copies(stack: Stack) -> dict[str, int]:
    """Copies in the proxy's hands: `waiting` at this moment, `dropped` since it started."""
    counted = stack.envoy_stats("proxy", r"^cluster\.copies\.upstream_rq")
    numbers = {name.rpartition(".")[2]: number for name, number in counted.items()}
    return {"waiting": sum(numbers[name] for name in WAITING), "dropped": numbers[DROPPED]}


def slower(recording: Recording, seconds: float) -> Interval:
    """Share of the requests that took longer, answered or not; unknown without any."""
    return report.share(recording.measured["latency"] > seconds)


# --- theory ---------------------------------------------------------------------------------------


def awaited(candidate: float, production: float = 0.0) -> float:
    """Share of users who wait longer than t where both answers are awaited.

    The later of two independent answers: neither may be late. The arguments are the shares of both
    that take longer than t.
    """
    return 1 - (1 - candidate) * (1 - production)


def held(rate: float, share: float, patience: float, limit: float = math.inf) -> float:
    """Copies that wait when a candidate hangs: `rate` per second, each for `patience` seconds.

    Little, Operations Research 9, 1961; no more than the `limit` of the proxy.
    """
    return min(rate * share * patience, limit)


def requests_until_seen(share: float, rarity: float, sure: float = 0.95) -> float:
    """Requests after which a fault has been seen with the probability `sure`.

    It hits the share `rarity` of the requests, of which `share` is mirrored. None of n independent
    requests shows it with (1 - share * rarity) ** n. Raises ValueError outside of (0, 1].
    """
    if not (0 < share <= 1 and 0 < rarity <= 1 and 0 < sure < 1):
        raise ValueError("Shares are above 0 and at most 1, and nobody is quite sure.")
    seen = share * rarity
    return 1.0 if seen == 1 else math.log1p(-sure) / math.log1p(-seen)


def first_seen(
    carriers: Sequence[str],
    among: Sequence[str],
    shares: Sequence[float],
    replays: int,
    most: int,
    random: np.random.Generator,
) -> dict[tuple[float, str], Counts]:
    """The number of the request that first shows a fault of one carrier's flights; sorted.

    By share that is mirrored and carrier, one number a replay. Each replay draws `most` flights
    with replacement and a lot for each; one that never shows the fault counts `most` + 1.
    """
    names, codes = np.unique(np.asarray(carriers), return_inverse=True)
    wanted = {carrier: int(np.flatnonzero(names == carrier)[0]) for carrier in among}
    found: dict[tuple[float, str], list[int]] = {(s, c): [] for s in shares for c in among}
    for _ in range(replays):
        drawn = codes[random.integers(0, len(codes), most)]
        lots = random.random(most)
        for share, carrier in found:
            hits = np.flatnonzero((drawn == wanted[carrier]) & (lots < share))
            found[share, carrier].append(int(hits[0]) + 1 if len(hits) else most + 1)
    return {key: np.sort(np.array(firsts, dtype=np.int64)) for key, firsts in found.items()}


def order_quantile(ordered: Counts, q: float, unit: str = "requests") -> Interval:
    """The quantile of sorted independent values, with the interval of its order statistics.

    Conover, "Practical Nonparametric Statistics", section 3.2. Unknown of no values.
    """
    n = len(ordered)
    if not n:
        return Interval.unknown("no values", unit)
    around = report.proportion(round(q * n), n)
    places = [min(n - 1, int(share * n)) for share in (q, around.low, around.high)]
    value, low, high = (float(ordered[place]) for place in places)
    return Interval(value, low, high, n, unit)


# --- the exercise in code -------------------------------------------------------------------------


def is_harmless(shadow: Shadow, patience: float = 0.25) -> bool:
    """Whether a shadow asks the candidate and lets its user feel nothing of it."""
    found = harmless_with(shadow, patience)
    return bool(found) and all(found)


def harmless_with(shadow: Shadow, patience: float = 0.25) -> list[bool]:
    """Of a candidate that answers, one that throws and one that hangs: which nobody has felt.

    Each time production's answer must come within `patience` seconds, and the candidate must have
    been asked. An event loop of its own, since a notebook has one running already. Nothing is found
    of what is no shadow at all.
    """
    found: list[bool] = []

    def run() -> None:
        found.extend(asyncio.run(_each_harmless(shadow, patience)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found


async def _each_harmless(shadow: Shadow, patience: float) -> list[bool]:
    async def answers() -> str:
        return "candidate"

    async def throws() -> str:
        raise ConnectionError("the candidate throws")

    async def hangs() -> str:
        await asyncio.Event().wait()
        return "never"

    return [await _harmless(shadow, one, patience) for one in (answers, throws, hangs)]


async def _harmless(
    shadow: Shadow, candidate: Callable[[], Awaitable[Any]], patience: float
) -> bool:
    asked = []

    async def ask_production() -> str:
        await asyncio.sleep(0.01)
        return "production"

    async def ask_candidate() -> Any:
        asked.append(True)
        return await candidate()

    # What nobody has awaited is no news here: that nothing of it reaches the user is the point.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    try:
        async with asyncio.timeout(patience):
            answer = await shadow(ask_production, ask_candidate)
        await asyncio.sleep(0)  # a task that was just made has not begun
    except Exception:  # noqa: BLE001  whatever a user would be shown
        return False
    return answer == "production" and bool(asked)
