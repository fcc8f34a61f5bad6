"""What the lab reads off the stack and the recordings; no service imports this."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, signal

from lab_services.models.scoring import predict_proba
from lab_services.patterns.serving.microservice_vertical.messages import STAGES
from lab_services.patterns.serving.microservice_vertical.mixing import mixed
from lab_services.report import bootstrap
from lab_services.report.proportions import proportion
from lab_services.report.ranking import auc
from lab_services.report.resampling import resampled
from lab_services.report.stats import Interval
from lab_services.stack import Stack
from lab_services.traffic.recording import Recording

Times = npt.NDArray[np.float64]
# What a latency is made of: the stages, and the rest (the chain's own work, the way to it).
PARTS = (*STAGES, "rest")
_BIN = 0.00025  # seconds
_MOST_LINKS = 100.0
# Seconds: what has just been overloaded, on a busy machine, may take its time to answer.
_PATIENCE = 60.0


# --- from the running stack ----------------------------------------------------------------------


def calls(stack: Stack) -> pd.DataFrame:
    """One row a call of the chain, by request id: seconds in `total` and in each stage."""
    read = pd.DataFrame(stack.json("chain", "/calls", patience=_PATIENCE))
    return read.reindex(columns=["request", "total", "probability", *STAGES]).set_index("request")


def with_stages(recording: Recording, calls: pd.DataFrame) -> pd.DataFrame:
    """The requests of a recording with the seconds of each stage and of the `rest`.

    They are joined by the label `request`. A stage that was not asked has nan; of a request that
    the chain has not noted, because it is not done with it, all of them are nan.
    """
    table = recording.measured
    noted = table["request"].isin(calls.index)
    table = table.join(calls[list(STAGES)], on="request")
    rest = table["latency"] - table[list(STAGES)].sum(axis=1)
    return table.assign(rest=rest.where(noted))


@dataclass(frozen=True)
class Work:
    """What a stage has done since its start: requests answered, and seconds of work for them."""

    requests: float
    seconds: float

    def __sub__(self, before: "Work") -> "Work":
        return Work(self.requests - before.requests, self.seconds - before.seconds)


def work(stack: Stack, stage: str) -> Work:
    """The work of a stage until now, from its own metrics."""
    seconds, requests = (
        stack.metric(stage, f"stage_work_seconds_{what}", patience=_PATIENCE)
        for what in ("sum", "count")
    )
    return Work(requests, seconds)


# --- sums of stage times -------------------------------------------------------------------------


def quantile(times: Times, q: float) -> float:
    """The value that a share `q` of the times does not exceed, in seconds; nan of no time."""
    if not len(times):
        return math.nan
    # As np.quantile by "inverted_cdf", in a tenth of the time: intervals ask thousands of times.
    place = max(0, math.ceil(q * len(times) - 1))
    return float(np.partition(times, place)[place])


def independent(parts: Sequence[Times]) -> Callable[[float], float]:
    """Quantiles of the sum of one time from each part, if the parts know nothing of one another.

    The distribution of a sum of independent times is the convolution of theirs (Feller, "An
    Introduction to Probability Theory and Its Applications" volume 2, 1971, section V.4); times
    are rounded to 0.25 ms for it. nan where a part has no time.
    """
    if not all(map(len, parts)):
        return lambda q: math.nan
    longest = max(float(times.max()) for times in parts)
    bins = np.arange(0, longest + 2 * _BIN, _BIN)
    shares = np.ones(1)
    for times in parts:
        counts, _ = np.histogram(np.maximum(times, 0), bins)
        # By its transform: a machine that stalls for seconds has tens of thousands of bins.
        shares = signal.fftconvolve(shares, counts / len(times))
    reached = np.cumsum(shares)
    return lambda q: (int(np.searchsorted(reached, q - 1e-9)) + len(parts) / 2) * _BIN


def together(parts: Sequence[Times], q: float) -> float:
    """Quantile of the sum if the slowest in one part is the slowest in all: the quantiles' sum.

    Such times are called comonotonic: Dhaene, Denuit, Goovaerts, Kaas and Vyncke, "The concept of
    comonotonicity in actuarial science and finance: theory", Insurance: Mathematics and Economics
    31 (1), 2002.
    """
    return sum(quantile(times, q) for times in parts)


def parts_of(table: pd.DataFrame) -> list[Times]:
    """The times of each of PARTS."""
    return [table[part].to_numpy(dtype=float) for part in PARTS]


def latency_quantile(table: pd.DataFrame, q: float) -> Interval:
    """The latency's quantile with its interval, requests resampled."""
    return _resampled(table, ["latency"], lambda one: quantile(one[0], q), "s")


def sum_of_quantiles(table: pd.DataFrame, q: float) -> Interval:
    """The latency's quantile over the sum of the parts' quantiles."""
    return _resampled(
        table,
        ["latency", *PARTS],
        lambda one: quantile(one[0], q) / sum(quantile(part, q) for part in one[1:]),
        "ratio",
    )


def stages_share(table: pd.DataFrame) -> Interval:
    """The sum of the stages' means over the mean latency."""
    return _resampled(
        table,
        ["latency", *STAGES],
        lambda one: sum(part.mean() for part in one[1:]) / one[0].mean(),
        "ratio",
    )


def of_independent(table: pd.DataFrame, q: float) -> Interval:
    """The latency's quantile over that of `independent` parts."""
    return _resampled(
        table,
        ["latency", *PARTS],
        lambda one: quantile(one[0], q) / independent(one[1:])(q),
        "ratio",
        draws=200,
    )


def slow_share_gain(table: pd.DataFrame, longer: float) -> Interval:
    """Share of requests with a slow stage over the share that is slow in one stage, on average.

    A stage is slow where it takes longer than `longer` seconds.
    """

    def gain(one: Sequence[Times]) -> float:
        slow = np.array(one) > longer
        return float(slow.any(axis=0).mean() / slow.mean()) if slow.any() else np.nan

    if not (table[list(STAGES)] > longer).any(axis=None):
        return Interval.unknown("no stage was slow", "ratio", len(table))
    return _resampled(table, list(STAGES), gain, "ratio")


def ratio(a: "pd.Series[float]", b: "pd.Series[float]", of: Callable[[Times], float]) -> Interval:
    """A number of `a` over that of `b`, each resampled by itself; unknown of fewer than two."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return resampled(
        lambda s: of(s[0]) / of(s[1]),
        first,
        second,
        unit="ratio",
        block=bootstrap.block_length(min(first, second, key=len)),
        paired=False,
    )


def _resampled(
    table: pd.DataFrame,
    columns: list[str],
    of: Callable[[Sequence[Times]], float],
    unit: str,
    draws: int = bootstrap.REPLICATES,
) -> Interval:
    # Requests that follow one another stand in the same queues.
    block = bootstrap.block_length(table["latency"].to_numpy(dtype=float))
    series = table[columns].to_numpy(dtype=float).T
    return resampled(of, *series, unit=unit, block=block, draws=draws)


# --- early exit ----------------------------------------------------------------------------------


def expected_slow(full: Times, goes_on: float, q: float) -> float:
    """Quantile of the latency where only a share `goes_on` of the requests takes all stages.

    `full` are the latencies of requests that do; the others are taken to be faster than all of
    these. Below the share that stops early there is nothing to tell (nan).
    """
    faster = 1 - (1 - q) / goes_on if goes_on else 0.0
    return quantile(full, faster) if faster > 1e-9 else float("nan")


class Judged:
    """What ending early does to many flights, judged by what became of them.

    The models are asked without the services, over one weather a flight.
    """

    def __init__(
        self, flights: Sequence[Mapping[str, object]], late: npt.NDArray[np.bool_]
    ) -> None:
        self._late = late
        self._rough = predict_proba("rough", flights)
        self._whole = mixed(predict_proba("good", flights), self._rough)

    def goes_on(self, sure: float) -> float:
        """Share of the flights that the screen does not end the chain for."""
        return float((self._rough >= sure).mean())

    def lost(self, thresholds: Sequence[float], draws: int = 50) -> dict[float, Interval]:
        """AUC of the whole chain less that of one that ends below a chance, for each threshold.

        The interval is the normal one with the spread of `draws` samples of the flights, in which
        both chains are judged by the same flights.
        """
        random = np.random.default_rng(0)
        n = len(self._late)
        samples = [np.arange(n), *(random.integers(0, n, n) for _ in range(draws))]
        found = np.empty((len(samples), len(thresholds)))
        for row, at in enumerate(samples):
            late, rough, whole = self._late[at], self._rough[at], self._whole[at]
            best = auc(late, whole)
            for column, sure in enumerate(thresholds):
                found[row, column] = best - auc(late, np.where(rough < sure, rough, whole))
        spread = 1.96 * found[1:].std(axis=0)
        return {
            sure: Interval(value, value - by, value + by, n)
            for sure, value, by in zip(thresholds, found[0].tolist(), spread.tolist(), strict=True)
        }

    def lost_by_each(self, sure: float, draws: int = 200) -> Interval:
        """AUC lost for each flight that ends below a chance, over what each loses where all end."""

        def over_all(series: Sequence[Times]) -> float:
            late, rough, whole = series[0].astype(bool), series[1], series[2]
            ends = rough < sure
            best = auc(late, whole)
            lost = best - auc(late, np.where(ends, rough, whole))
            return float(lost / ends.mean() / (best - auc(late, rough)))

        series = (self._late, self._rough, self._whole)
        return resampled(over_all, *series, unit="ratio", draws=draws)


# --- availability --------------------------------------------------------------------------------


def links(answered: Mapping[float, tuple[int, int]]) -> Interval:
    """How many links in a row explain what was answered, each failing with the same chance.

    `answered[0.1]` is (answered, of how many) while each link failed with chance 0.1: the expected
    share is (1 - 0.1)^links. The interval is that of the share of all requests. Unknown where none
    was answered, which any large number of links explains.
    """
    hits = sum(hit for hit, _ in answered.values())
    of = sum(n for _, n in answered.values())

    def expected(k: float) -> float:
        parts = (n * float((1 - chance) ** k) for chance, (_, n) in answered.items())
        return sum(parts) / of

    def solved(share: float) -> float:
        if share <= expected(_MOST_LINKS):
            return math.inf
        return float(optimize.brentq(lambda k: expected(k) - share, 0.0, _MOST_LINKS))

    if not hits:
        return Interval.unknown("no request was answered", "links", of)
    share = proportion(hits, of)
    return Interval(
        solved(share.value), solved(min(share.high, 1.0)), solved(share.low), of, "links"
    )
