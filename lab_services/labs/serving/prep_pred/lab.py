"""What the lab of this chapter computes: the hop's line, the split's theory, right and wrong."""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lab_services.labs.serving.prep_pred import versions
from lab_services.models import scoring, store
from lab_services.models.features import Flight
from lab_services.patterns.serving.prep_pred.preparing import Preparation
from lab_services.patterns.serving.prep_pred.wire import WIRES, Encoding
from lab_services.report.fit import Line
from lab_services.report.resampling import resampled
from lab_services.report.stats import P50, Interval
from lab_services.services.predictor import Rows
from lab_services.traffic.recording import Recording

Seconds = npt.NDArray[np.float64]
REFUSED = 409  # what a handshake answers that fails

# --- the hop -------------------------------------------------------------------------------------


def serialisation(encoding: Encoding, rows: Rows, times: int = 15) -> Seconds:
    """Seconds to encode these rows and decode them again, in this process: one value a time."""
    wire = WIRES[encoding]

    def once() -> float:
        began = time.perf_counter()
        wire.decode(wire.encode(rows))
        return time.perf_counter() - began

    return np.array([once() for _ in range(times)])


def median(series: Sequence[Seconds]) -> float:
    """The median of the only series, for `report.resampled`."""
    return float(np.median(series[0]))


def over_line(
    found: Recording,
    small: Recording,
    large: Recording,
    serialisation: Seconds,
    body: tuple[int, int, int],
) -> Interval:
    """What the hop has added in `found`, over what the line expects of a body of its size.

    The line goes through the `small` and the `large` body of a tensor, and `serialisation` is added
    to it. `body` has the bytes of the small one, the large one and that of `found`.
    """
    asked = [both.where(way=way) for both in (found, small, large) for way in ("halves", "whole")]
    latencies = [np.concatenate([*P50.rounds(each).values(), np.empty(0)]) for each in asked]

    def times(series: Sequence[Seconds]) -> float:
        *medians, alone = (float(np.median(each)) for each in series)
        added = [halves - whole for halves, whole in zip(medians[::2], medians[1::2], strict=True)]
        line = Line.through(dict(zip(body[:2], added[1:], strict=True)))
        return added[0] / (line(body[2]) + alone)

    return resampled(times, *latencies, serialisation, unit="ratio", paired=False)


# --- the split -----------------------------------------------------------------------------------


def at_once(*changes: Callable[[], None]) -> None:
    """Make changes to different services of a stack side by side. Raises what they raise."""
    with ThreadPoolExecutor(len(changes)) as pool:
        for change in [pool.submit(change) for change in changes]:
            change.result()


def hours_for(ratio: float, preparation: Line, prediction: Line, most: int = 500) -> int | None:
    """The least hours ahead at which the preparation works `ratio` times as much as the prediction.

    None where fewer than `most` are not enough, because no work was measured that grows with them.
    """
    if not ratio:
        return 0
    enough = (h for h in range(most) if preparation(h) >= ratio * prediction(h))
    return next(enough, None)


def expected(work: Sequence[float], workers: Sequence[int], share: float) -> float:
    """Requests per second that pools in a row can bear: the slowest pool decides.

    A pool of `workers`, each of which may use `share` of a core, bears workers * share / work;
    what every request passes through bears no more than its tightest place (the bottleneck law:
    Denning and Buzen, ACM Computing Surveys 10, 1978). `work` is in processor seconds. A pool whose
    work is too little to be measured is not the tightest; nan where that is so of all.
    """
    pools = zip(workers, work, strict=True)
    return min((n * share / each for n, each in pools if each > 0), default=math.nan)


def completions(recording: Recording) -> pd.DataFrame:
    """The answers that came while requests were being sent, each at the time when it came.

    In a closed loop those that were sent in the warm-up and answered after it count too: left out,
    a slow service would look slower still.
    """
    table = recording.table
    back = table["intended"] + table["latency"]
    inside = table["ok"] & (back >= recording.begin) & (back < recording.begin + recording.seconds)
    return table[inside].assign(intended=back[inside], latency=0.0, warmup=False)


# --- versions ------------------------------------------------------------------------------------

RIGHT, WRONG, DECLINED, FAILED = OUTCOMES = ("right", "silently wrong", "refused", "failed")


def outcomes(table: pd.DataFrame) -> "pd.Series[Any]":
    """What became of each request of a recording's table: right, silently wrong, refused, failed.

    An answer is wrong where the contract of its rows is not that of the model, as it says itself.
    """
    contracts = table["answered_by"].str.split("+", n=1, expand=True).reindex(columns=[0, 1])
    same = (contracts[0] == contracts[1]) & (table["answered_by"] != "")
    found = np.select(
        [table["status"] == REFUSED, ~table["ok"], same], [DECLINED, FAILED, RIGHT], WRONG
    )
    return pd.Series(found, index=table.index)


def count(found: "pd.Series[Any]", kind: str) -> Interval:
    """Of how many requests this became; unknown of none."""
    if found.empty:
        return Interval.unknown("no request was meant for that time", "requests")
    return Interval.exact(int((found == kind).sum()), "requests")


def others(phases: "Sequence[pd.Series[Any]]", kind: str) -> Interval:
    """Of how many requests something else became; unknown where one of the phases had none."""
    if any(found.empty for found in phases):
        return Interval.unknown("no request was meant for that time", "requests")
    return Interval.exact(sum(int((found != kind).sum()) for found in phases), "requests")


def answers(flights: Sequence[Flight]) -> dict[tuple[str, str], npt.NDArray[np.float64]]:
    """What each version of the model says of rows from each version of the preparation.

    By (preparation, model), without a service; one weather for each flight, the forecast itself.
    """
    said = {}
    for made_for in ("good", versions.METRIC):
        preparation = Preparation()
        preparation.load_for(store.model_path(made_for))
        rows = np.concatenate([preparation.rows(flight, 1, 0) for flight in flights])
        for name in ("good", versions.METRIC):
            said[made_for, name] = scoring.scorer(store.model_path(name))(rows).astype(float)
    return said
