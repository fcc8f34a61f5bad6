"""What the lab of this chapter sends, reads from the log, and draws; no service imports this."""

import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psycopg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab_services.labs.qa.offline_only import users
from lab_services.models.features import Flight
from lab_services.models.scoring import predict_proba
from lab_services.report.charts import style
from lab_services.report.charts.style import COLOURS, DASHES, MARK, WIDTH, Chart
from lab_services.report.charts.svg import INK
from lab_services.report.charts.timeline import Change, during, in_words, name_faults, shade
from lab_services.report.proportions import share
from lab_services.report.rounds import t_interval
from lab_services.report.stats import Interval
from lab_services.stack import Stack, loopback
from lab_services.stack.tables import append, read
from lab_services.traffic.recording import Recording
from lab_services.traffic.request import Request
from lab_services.traffic.running import send
from lab_services.traffic.schedules import constant
from lab_services.waiting import tries

_PATIENCE = 10.0  # seconds for the gate's rows to be in the log
_ANSWERS = 60.0  # seconds for the gate to take a release; what is released decides what is measured
POINTS = "points"
Values = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Database = psycopg.Connection[Any]

# What somebody with the log alone would ask. The rules of the travellers stand in `users`.
PER_MODEL = f"""
SELECT model, count(*) AS travellers,
    avg(warned::int) AS warned,
    avg((NOT stayed)::int) AS gone,
    avg(CASE WHEN NOT stayed OR warned IS NULL THEN 0
             WHEN NOT warned THEN {users.SEEN}
             WHEN late THEN {users.SEEN + users.HELPED}
             ELSE {users.SEEN - users.ALARMED} END) AS points
FROM answers JOIN travellers USING (request)
WHERE test = %s AND NOT shadow GROUP BY model ORDER BY model
"""


# --- the gate and its log ------------------------------------------------------------------------


def release(stack: Stack, test: str, share: float = 0.0, *, shadow: bool = False) -> float:
    """Give the candidate to that share of the travellers, or only shadow it; when, in Unix seconds.

    Raises httpx.HTTPStatusError for a share that is none.
    """
    wanted = {"test": test, "share": share, "shadow": shadow}
    loopback.post(stack.url("gate", "/release"), json=wanted, timeout=_ANSWERS).raise_for_status()
    return time.time()


def asking(stack: Stack, test: str, flights: Sequence[Flight]) -> list[Request]:
    """A request of each flight's own traveller."""
    url = stack.url("gate", "/predict")
    names = [f"{test}-{number}" for number in range(len(flights))]
    return [
        Request(
            url,
            json=flight,
            headers={"x-user": name, "x-request-id": name},
            labels={"request": name},
        )
        for name, flight in zip(names, flights, strict=True)
    ]


def travel(
    stack: Stack,
    database: Database,
    test: str,
    flights: Sequence[Flight],
    late: Sequence[bool],
    rate: float,
    *,
    at: Mapping[float, Callable[[], object]] | None = None,
) -> tuple[Recording, pd.DataFrame]:
    """Travellers ask at an even rate; what they do with the answers goes into the log.

    `at` is as in `traffic.send`. Returns the recording, and a row for each traveller as `behaved`
    has them.
    """
    requests = asking(stack, test, flights)
    schedule = constant(rate, len(requests) / rate)
    recording = send(requests, schedule, at=at, title=test)
    answers = logged(database, test, len(requests))
    seed = zlib.crc32(test.encode())  # other travellers in each test, the same in each run
    table = behaved(recording.table, answers, late, seed)
    tell(database, table)
    return recording, table


def behaved(
    asked: pd.DataFrame, answers: pd.DataFrame, late: Sequence[bool], seed: int = 0
) -> pd.DataFrame:
    """What travellers did with the answers of the gate's log; a row each, in the order of asking.

    request, intended (Unix s), latency (s), ok, model, probability, warned, late, stayed, points. A
    traveller without an answer has stayed for nothing: 0 points. Who has an answer that is not in
    the log is left out, for nobody knows what it said.
    """
    table = asked[["request", "intended", "latency", "ok"]]
    table = table.merge(answers, on="request", how="left").assign(late=np.asarray(late))
    table["stayed"] = table["ok"] & (table["latency"] <= users.patience(len(table), seed))
    table["warned"] = table["warned"].eq(True)  # no answer is no warning
    table["points"] = users.points(*(table[c].to_numpy(bool) for c in ("warned", "late", "stayed")))
    return table[table["model"].notna() | ~table["ok"]].reset_index(drop=True)


def logged(database: Database, test: str, number: int, *, shadow: bool = False) -> pd.DataFrame:
    """The answers of a test, of the shadow or as travellers saw them, once there are `number`.

    Where ten seconds bring fewer, those that there are: requests that never reached the gate have
    no row.
    """
    columns = "request, model, probability, warned, seconds"
    query = f"SELECT {columns} FROM answers WHERE test = %s AND shadow = %s"
    for _ in tries(_PATIENCE):
        found = read(database, query, [test, shadow])
        if len(found) >= number:
            break
    return found


def tell(database: Database, table: pd.DataFrame) -> None:
    """Write down what became of travellers: whether they stayed, whether their flight was late."""
    append(database, "travellers", table[["request", "stayed", "late"]])


def per_model(database: Database, test: str) -> pd.DataFrame:
    """What the log says of each model of a test, by one query."""
    found = read(database, PER_MODEL, [test]).set_index("model")
    return found.astype(dict.fromkeys(found.columns.drop("travellers"), float))


# --- numbers -------------------------------------------------------------------------------------


def mean_points(values: Values) -> Interval:
    """Points a traveller."""
    return t_interval(values, POINTS)


def points_differ(a: Values, b: Values) -> Interval:
    """Mean of `a` less mean of `b`, two groups of travellers, with Welch's 95 % interval (SciPy).

    Unknown for a group of fewer than two.
    """
    from scipy import stats

    if (fewest := min(len(a), len(b))) < 2:
        return Interval.unknown(f"{fewest} travellers, a group needs 2", POINTS, fewest)
    low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    value = float(np.mean(a) - np.mean(b))
    return Interval(value, float(low), float(high), min(len(a), len(b)), POINTS)


def travellers_needed(a: Values, b: Values, power: float = 0.8) -> Interval:
    """Travellers, of both arms, that find the difference of `a` and `b` so often, by statsmodels.

    At 5 % false alarms, arms of one size. A difference below a hundredth of the spread counts as
    that. Unknown without travellers in both, and where nobody differs from anybody.
    """
    from statsmodels.stats.power import NormalIndPower

    if not min(len(a), len(b)):
        return Interval.unknown("nobody was given one of the two", "travellers")
    spread = float(np.sqrt((a.var() + b.var()) / 2))
    if not spread > 0:
        return Interval.unknown("nobody differs from anybody", "travellers")
    size = max(abs(float(a.mean() - b.mean())) / spread, 0.01)
    needed = 2 * int(np.ceil(NormalIndPower().solve_power(size, alpha=0.05, power=power)))
    return Interval.exact(needed, "travellers")


def served(names: Sequence[str], flights: Sequence[Flight]) -> dict[str, Values]:
    """What each model, in the form that a predictor loads, says of flights."""
    return {name: predict_proba(name, flights) for name in names}


def seen_at(warned: Truths, expected: float) -> int | None:
    """After how many shadowed answers the share of warnings was surely below what was expected.

    Surely: the exact 99.9 % bound, because one looks after each answer; 0 where it never was, None
    where there was no answer to look at. Raises ValueError for an expected share that is none.
    """
    from scipy import stats

    if not 0 < expected < 1:
        raise ValueError(f"{expected} is no share that a count could fall below.")
    if not len(warned):
        return None
    number = np.arange(1, len(warned) + 1)
    chance = stats.binom.cdf(np.cumsum(warned), number, expected)
    below = chance < 0.001
    return int(np.argmax(below)) + 1 if below.any() else 0


def phases(table: pd.DataFrame, change: Change) -> dict[str, pd.DataFrame]:
    """The travellers before, during and after a change, by when they meant to ask.

    Raises ValueError for a change that has not ended.
    """
    if change.end is None:
        raise ValueError("The change has not ended.")
    asked = table["intended"]
    return {
        "before": table[asked < change.start],
        "during": table[(asked >= change.start) & (asked < change.end)],
        "after": table[asked >= change.end],
    }


# --- charts --------------------------------------------------------------------------------------


def worth(
    table: pd.DataFrame,
    changes: Sequence[Change],
    *,
    promise: Mapping[str, float],
    name: str,
    title: str,
    every: float = 0.5,
) -> Chart:
    """Warnings, points and latency over time, with the changes shaded.

    `promise` gives "warned" and "points" as the offline test foretold them. Bins are `every`
    seconds long; the last one is left out where it is not whole. A bin in which nobody asked is a
    gap, and the chart says so.
    """
    asked = table["intended"]
    begin, end = (float(asked.min()), float(asked.max())) if len(table) else (0.0, every)
    place = ((asked - begin) // every).astype(int)
    whole = max(1, int((end - begin) // every))
    bins = [table[place == number] for number in range(whole)]
    at = [(number + 0.5) * every for number in range(whole)]
    warned = [share(part["warned"]) for part in bins]
    points = [mean_points(part["points"].to_numpy(float)) for part in bins]
    slow = [float(part["latency"].median()) for part in bins]
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 5.6))
        panels = figure.subplots(3, 1, sharex=True, height_ratios=[1.2, 1.2, 0.8])
        rows: tuple[tuple[list[Interval], str], ...] = ((warned, "warned"), (points, "points"))
        for index, (values, what) in enumerate(rows):
            look: dict[str, Any] = {"color": COLOURS[index], "ls": DASHES[index]}
            panels[index].plot(at, [each.value for each in values], **look)
            ends = [(each.low, each.high) for each in values]
            finite = [np.isfinite(pair).all() for pair in ends]
            panels[index].fill_between(
                at,
                *np.where(finite, np.transpose(ends), np.nan),
                color=COLOURS[index],
                alpha=0.2,
                lw=0,
            )
            panels[index].axhline(promise[what], **MARK)
            panels[index].set_ylim(bottom=0)
        panels[2].plot(at, slow, color=COLOURS[2], ls=DASHES[3])
        panels[2].set_ylim(0, 2 * max((each for each in slow if math.isfinite(each)), default=1.0))
        panels[0].set_ylabel("share warned")
        panels[1].set_ylabel("points")
        panels[2].set(ylabel="latency", xlim=(0, max(end - begin, every)))
        style.unit_axis(panels[0], "y", "share")
        style.unit_axis(panels[2], "y", "s")
        empty = [f"{t:.3g}" for t, part in zip(at, bins, strict=True) if part.empty]
        gaps = [style.gap(f"{', '.join(empty)} s", "nobody asked")] if empty else []
        style.noted(panels[2], "seconds", [], missing=gaps)
        here = during(changes, begin, end)
        for panel in panels:
            shade(panel, here, begin, end)
        name_faults(panels[0], here, begin, end)
        legend = [
            Line2D([], [], color=COLOURS[0], ls=DASHES[0], label="told that it will be late"),
            Line2D([], [], color=COLOURS[1], ls=DASHES[1], label="points a traveller"),
            Line2D([], [], color=COLOURS[2], ls=DASHES[3], label="median latency"),
            Line2D([], [], **{**MARK, "color": INK}, label="as the offline test promised"),
        ]
        shown = "; ".join(
            f"{t:.3g} s: {w.value:.0%} warned, {p.value:.2f} points"
            for t, w, p in zip(at, warned, points, strict=True)
            if w.known
        )
        foretold = f"Promised: {promise['warned']:.0%}, {promise['points']:.2f} points."
        alt = style.in_words(f"{shown}.", [*in_words(here, begin), foretold, *gaps])
        return style.finish(figure, name, title, alt, legend)


def promises(
    offline: Mapping[str, float], live: Mapping[str, Interval], *, name: str, title: str
) -> Chart:
    """The AUC that a test on stored data foretold, and the one on the flights that came.

    One row a model: a ring for the promise, a dot for what came of it. Raises ValueError where
    both do not name the same models.
    """
    if not offline or list(offline) != list(live):
        raise ValueError("Each model needs its promise and what came of it, in the same order.")
    ring: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 8, "mfc": "none"}
    ring["color"] = COLOURS[1]
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 1.4 + 0.45 * len(offline)))
        axes = figure.add_subplot()
        for row, model in enumerate(offline):
            foretold, came = offline[model], live[model]
            axes.plot([foretold, came.value], [-row, -row], color=INK, lw=0.8)
            axes.plot(foretold, -row, **ring)
            axes.plot([came.low, came.high], [-row, -row], color=COLOURS[0], lw=3)
            axes.plot(came.value, -row, marker="s", ms=6.5, color=COLOURS[0])
        axes.axvline(0.5, **MARK)
        axes.set_yticks([-row for row in range(len(offline))], list(offline))
        axes.set_ylim(0.6 - len(offline), 0.6)
        axes.set_xlabel("AUC (0.5 is guessing)")
        legend = [
            Line2D([], [], **ring, label="offline"),
            Line2D([], [], ls="none", marker="s", ms=6.5, color=COLOURS[0], label="live"),
        ]
        words = [f"{m}: offline {offline[m]:.3f}, live {live[m].value:.3f}." for m in offline]
        return style.finish(figure, name, title, " ".join(words), legend)


# --- an exercise ---------------------------------------------------------------------------------

# Of each made-up test: who was worth more, and of each traveller: warned, late, stayed.
_MADE_UP: dict[str, tuple[str, dict[str, Sequence[tuple[bool, bool, bool]]]]] = {
    "made-up-alarms": (
        "today",
        {
            "today": [(False, False, True)] * 10,
            "candidate": [(True, True, True)] + [(True, False, True)] * 9,
        },
    ),
    "made-up-calm": (
        "candidate",
        {"today": [(True, False, True)] * 10, "candidate": [(False, False, True)] * 10},
    ),
    "made-up-slow": (
        "today",
        {
            "today": [(False, False, True)] * 10,
            "candidate": [(True, True, True)] + [(True, True, False)] * 9,
        },
    ),
}


def made_up(database: Database) -> dict[str, str]:
    """Put three small tests into the log, anew each time; for each, which model was worth more."""
    database.execute("DELETE FROM travellers WHERE request LIKE 'made-up-%'")
    database.execute("DELETE FROM answers WHERE test LIKE 'made-up-%'")
    for test, (_, arms) in _MADE_UP.items():
        for model, travellers in arms.items():
            for number, (warned, late, stayed) in enumerate(travellers):
                request = f"{test}-{model}-{number}"
                database.execute(
                    "INSERT INTO answers (test, request, model, shadow, warned)"
                    " VALUES (%s, %s, %s, false, %s)",
                    [test, request, model, warned],
                )
                database.execute(
                    "INSERT INTO travellers VALUES (%s, %s, %s)", [request, stayed, late]
                )
    return {test: better for test, (better, _) in _MADE_UP.items()}
