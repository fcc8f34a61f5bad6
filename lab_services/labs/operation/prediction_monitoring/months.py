"""Months of real flights in the order of time, and what detectors would have said of them.

Only the lab imports this: it reads all flights of 2013, and needs pandas, SciPy and statsmodels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lab_services.models import features, flights, store
from lab_services.models.features import CODED, FEATURES
from lab_services.models.scoring import scorer
from lab_services.patterns.operation.prediction_monitoring.drift import (
    Counts,
    Reference,
    psi,
    repeated_share,
)
from lab_services.report.proportions import share
from lab_services.report.resampling import resampled
from lab_services.report.stats import Interval

WEATHER = ("temperature", "humidity", "wind", "rain", "visibility")
NUMBERS = tuple(name for name in FEATURES if name not in CODED)
LATE_ABOVE = 0.3
SEARCHED = 14  # days after which a fault that nobody has found counts as not found

Columns = Mapping[str, NDArray[Any]]
Values = NDArray[Any]


@dataclass(frozen=True)
class Predictions:
    """Predictions in the order of time: what was asked, what was said, what became of it.

    `day` counts from the first day of the year. `columns` holds the features and `probability`.
    """

    columns: Columns
    late: Values
    month: Values
    day: Values

    def __len__(self) -> int:
        return len(self.late)

    def where(self, kept: Values) -> "Predictions":
        """Those of a mask, or those at positions in their order."""
        columns = {name: values[kept] for name, values in self.columns.items()}
        return Predictions(columns, self.late[kept], self.month[kept], self.day[kept])

    @property
    def days(self) -> list["Predictions"]:
        """One for each day."""
        ends = np.flatnonzero(np.diff(self.day)) + 1
        return [self.where(part) for part in np.split(np.arange(len(self)), ends)]

    def reference(self) -> Reference:
        """What is usual in these predictions."""
        return Reference(self.columns)


class Year:
    """The flights of 2013, and the good model, which was trained on January to September.

    With `every` above 1, only one flight in so many.
    """

    def __init__(self, every: int = 1) -> None:
        self._codes = features.Codes(**store.verify(store.model_path("good"))["codes"])
        self._models = {name: scorer(store.model_path(name)) for name in ("good", "rough")}
        table = flights.clean().table.iloc[::every]
        columns = {name: table[name].to_numpy() for name in FEATURES}
        for name in CODED:
            columns[name] = columns[name].astype(str)
        # The table is in the order of time, so a day begins where the weekday changes.
        weekday = columns["weekday"]
        self.all = Predictions(
            {**columns, "probability": self.predict(columns)},
            table["late"].to_numpy(),
            table["month"].to_numpy(),
            np.cumsum(np.diff(weekday, prepend=weekday[0]) != 0),
        )
        self.training = self.months(*flights.TRAINING_MONTHS)
        self.serving = self.months(*flights.UNSEEN_MONTHS)

    def predict(self, columns: Columns, model: str = "good") -> Values:
        """What a model says of these flights."""
        rows = features.prepare_columns(columns, self._codes)
        return self._models[model](rows)

    def months(self, *months: int) -> Predictions:
        """The predictions of these months."""
        return self.all.where(np.isin(self.all.month, months))

    def changed(self, of: Predictions, **changes: Callable[[Values], Values]) -> Predictions:
        """The same flights with columns changed, and what the model says of those.

        >>> year.changed(year.serving, temperature=celsius)      # doctest: +SKIP
        """
        told = {name: change(of.columns[name]) for name, change in changes.items()}
        columns = {**of.columns, **told}
        return replace(of, columns={**columns, "probability": self.predict(columns)})


# --- faults: what a column turns into -------------------------------------------------------------


def zero(values: Values) -> Values:
    """A null that somebody turned into a zero."""
    return np.zeros_like(values)


def celsius(fahrenheit: Values) -> Values:
    """°F that turn into °C."""
    return (fahrenheit - 32) / 1.8


def kilometres(miles: Values) -> Values:
    """Miles that turn into kilometres, and miles per hour into kilometres per hour."""
    return miles * 1.609344


# --- windows --------------------------------------------------------------------------------------


def daily_counts(reference: Reference, column: str, of: Predictions) -> Counts:
    """One row a day: how many predictions fall into each bin of the reference."""
    bins = reference.bins(column)
    day = of.day - of.day[0]
    cells = day * bins + reference.places(column, of.columns[column])
    return np.bincount(cells, minlength=(day[-1] + 1) * bins).reshape(-1, bins).astype(float)


def daily_sums(of: Predictions, *values: Values) -> Counts:
    """One row a day: the sum of each of the values."""
    day = of.day - of.day[0]
    return np.column_stack([np.bincount(day, weights=value) for value in values])


def trailing(counts: Counts, days: int) -> Counts:
    """Each row becomes the sum of the last `days` rows; the first rows have fewer."""
    total = np.cumsum(counts, axis=0)
    total[days:] -= total[:-days].copy()
    return total


def share_above(
    threshold: float, size: int, reference: Reference, column: str, of: Predictions
) -> Interval:
    """The share of windows of `size` consecutive predictions whose PSI is above the threshold.

    Neighbours share their weather: windows count for as many as their dependence leaves.
    """
    windows = len(of) // size
    places = reference.places(column, of.columns[column][: windows * size])
    bins = reference.bins(column)
    cells = np.repeat(np.arange(windows), size) * bins + places
    counts = np.bincount(cells, minlength=windows * bins).reshape(-1, bins)
    return share(psi(reference.counts[column], counts.astype(float)) > threshold, dependent=True)


def share_above_theory(threshold: float, size: float, reference: Reference, column: str) -> float:
    """The same for independent predictions from the reference itself.

    A PSI is then (1 / window + 1 / reference) x chi-square with one degree less than bins (B.
    Yurdakul and J. Naranjo, Statistical properties of the population stability index, Journal of
    Risk Model Validation 14 (4), 2020).
    """
    counts = reference.counts[column]
    per_unit = 1 / size + 1 / counts.sum()
    return float(stats.chi2.sf(threshold / per_unit, len(counts) - 1))


# --- the operating curve --------------------------------------------------------------------------


Statistic = Callable[[Counts], Values]


@dataclass(frozen=True)
class Alarm:
    """A statistic that is looked at once a day, over the last `window` days.

    `clean` and `faulty` are what each day adds to it, without and with the fault from the first
    day to the last. An alarm is a value above the threshold. What it is computed from is known
    `lag` days late, as labels are.
    """

    statistic: Statistic
    clean: Counts
    faulty: Counts
    window: int
    lag: int = 0

    @property
    def usual(self) -> Values:
        """What it tells, day by day, where there is no fault."""
        return self.statistic(trailing(self.clean, self.window))[self.window - 1 :]

    def false_alarms(self, threshold: float) -> float:
        """Alarms a week where there is no fault."""
        return float((self.usual > threshold).mean() * 7)

    def threshold(self, false_alarms: float) -> float:
        """The lowest threshold with no more false alarms a week than that."""
        told = np.sort(self.usual)
        return float(told[max(int(np.ceil(len(told) * (1 - false_alarms / 7))) - 1, 0)])

    def delays(self, threshold: float) -> Values:
        """Days from each possible first day of the fault to the alarm.

        A look comes at the end of a day, so what the first look finds took one day. Where none of
        SEARCHED days of the fault raises an alarm, that many days are counted.
        """
        found = []
        for start in range(self.window, len(self.clean) - SEARCHED):
            mixed = np.concatenate([self.clean[:start], self.faulty[start : start + SEARCHED]])
            told = self.statistic(trailing(mixed, self.window))[start:]
            above = np.flatnonzero(told > threshold)
            found.append((above[0] + 1 if len(above) else SEARCHED) + self.lag)
        return np.array(found, dtype=float)


def drifted(year: Year, column: str, faulty: Predictions, window: int) -> Alarm:
    """An alarm on the PSI of a column against the training months."""
    reference = year.training.reference()
    return Alarm(
        partial(psi, reference.counts[column]),
        daily_counts(reference, column, year.serving),
        daily_counts(reference, column, faulty),
        window,
    )


def called_late(year: Year, faulty: Predictions, window: int) -> Alarm:
    """An alarm on the share of flights that are called late."""
    usual = float((year.training.columns["probability"] > LATE_ABOVE).mean())

    def statistic(counts: Counts) -> Values:
        return np.abs(counts[:, 0] / counts[:, 1] - usual)

    def per_day(of: Predictions) -> Counts:
        return daily_sums(of, of.columns["probability"] > LATE_ABOVE, np.ones(len(of)))

    return Alarm(statistic, per_day(year.serving), per_day(faulty), window)


def wrong(year: Year, faulty: Predictions, window: int, lag: int) -> Alarm:
    """An alarm on the Brier score: the mean squared distance of what was said from what became."""

    def statistic(counts: Counts) -> Values:
        return counts[:, 0] / counts[:, 1]

    def per_day(of: Predictions) -> Counts:
        return daily_sums(of, (of.columns["probability"] - of.late) ** 2, np.ones(len(of)))

    return Alarm(statistic, per_day(year.serving), per_day(faulty), window, lag)


def mean_delay(days: Values, block: int = 7) -> Interval:
    """The mean of delays from consecutive starts, with the interval of a bootstrap by weeks.

    Faults that begin a day apart meet the same weather, so whole weeks are drawn. Unknown for fewer
    starts than two blocks have.
    """
    return resampled(lambda s: float(s[0].mean()), days, unit="days", block=block)


def operating_curve(alarm: Alarm) -> dict[float, Interval]:
    """The mean delay for each rate of false alarms a week, which the threshold decides."""
    thresholds = [alarm.threshold(rate) for rate in (0, 0.25, 0.5, 1, 1.5, 2, 2.5, 3, 3.5)]
    return {
        round(alarm.false_alarms(threshold), 3): mean_delay(alarm.delays(threshold))
        for threshold in dict.fromkeys(thresholds)
    }


# --- detectors and faults -------------------------------------------------------------------------

Detector = Callable[[Reference, Columns, Predictions], Values]


def _psi_of_inputs(reference: Reference, usual: Columns, day: Predictions) -> Values:
    return np.array(
        [psi(reference.counts[n], reference.count(n, day.columns[n])) for n in FEATURES]
    )


def _ks_of_inputs(reference: Reference, usual: Columns, day: Predictions) -> Values:
    return np.array(
        [stats.ks_2samp(usual[n], day.columns[n], method="asymp").statistic for n in NUMBERS]
    )


def _zeros(reference: Reference, usual: Columns, day: Predictions) -> Values:
    return np.array([(day.columns[name] == 0).mean() for name in NUMBERS])


def _psi_of_predictions(reference: Reference, usual: Columns, day: Predictions) -> Values:
    counted = reference.count("probability", day.columns["probability"])
    return np.array([psi(reference.counts["probability"], counted)])


def _repeats(reference: Reference, usual: Columns, day: Predictions) -> Values:
    rows = list(zip(*(day.columns[name].tolist() for name in FEATURES), strict=True))
    return np.array([repeated_share(rows)])


def _volume(reference: Reference, usual: Columns, day: Predictions) -> Values:
    return np.array([len(day), -len(day)], dtype=float)


def _errors(reference: Reference, usual: Columns, day: Predictions) -> Values:
    probability = day.columns["probability"]
    gap = probability.mean() - day.late.mean()
    return np.array([((probability - day.late) ** 2).mean(), gap, -gap])


DETECTORS: Mapping[str, Detector] = {
    "PSI of inputs": _psi_of_inputs,
    "KS of inputs": _ks_of_inputs,
    "share of zeros": _zeros,
    "repeated inputs": _repeats,
    "volume": _volume,
    "PSI of predictions": _psi_of_predictions,
    "errors, once labels are in": _errors,
}


def planted(year: Year, of: Predictions, seed: int = 0) -> dict[str, Predictions]:
    """The same predictions with one fault each."""
    random = np.random.default_rng(seed)

    def rows(kept: Values) -> Predictions:
        """Some rows stand for others, and what became of those stays what it was."""
        columns = {name: values[kept] for name, values in of.columns.items()}
        return replace(of, columns=columns)

    place = np.arange(len(of))
    first = np.searchsorted(of.day, of.day)  # the first flight of the same day
    by_day = np.lexsort((random.random(len(of)), of.day))  # shuffled within each day
    mixed = {name: values[by_day] for name, values in of.columns.items() if name in WEATHER}
    mixed = {**of.columns, **mixed}
    strike = of.late | (random.random(len(of)) < 0.3)
    return {
        "nothing": of,
        "visibility null, sent as 0": year.changed(of, visibility=zero),
        "rain null, sent as 0": year.changed(of, rain=zero),
        "temperature in °C": year.changed(of, temperature=celsius),
        "distance in km": year.changed(of, distance=kilometres),
        "one request over and over": rows(np.where(random.random(len(of)) < 0.3, first, place)),
        "half of the traffic lost": of.where(random.random(len(of)) < 0.5),
        "weather of another flight": replace(
            of, columns={**mixed, "probability": year.predict(mixed)}
        ),
        "the rough model answers": replace(
            of, columns={**of.columns, "probability": year.predict(of.columns, "rough")}
        ),
        "more delays in the world": replace(of, late=strike),
    }


def statistics(year: Year, days: Sequence[Predictions]) -> dict[str, Values]:
    """What each detector computes: one row a day, one column for each of its statistics."""
    reference = year.training.reference()
    sample = np.random.default_rng(0).choice(len(year.training), 1000, replace=False)
    usual = year.training.where(np.sort(sample)).columns
    return {
        name: np.array([detector(reference, usual, day) for day in days])
        for name, detector in DETECTORS.items()
    }


def matrix(year: Year, seed: int = 0, every: int = 1) -> tuple[pd.DataFrame, int]:
    """On how many days each detector (columns) finds each fault (rows), and of how many days.

    A detector's thresholds are the largest values of all odd days without a fault, so all
    detectors are equally careful; what they find is counted on the even days. With `every` above 1,
    only one day in so many of both.
    """
    usual = statistics(year, [day for day in year.serving.days if day.day[0] % 2][::every])
    found = {}
    for fault, predictions in planted(year, year.serving, seed).items():
        even = [day for day in predictions.days if day.day[0] % 2 == 0][::every]
        told = statistics(year, even)
        found[fault] = {
            name: int((told[name] > usual[name].max(axis=0)).any(axis=1).sum())
            for name in DETECTORS
        }
    return pd.DataFrame(found).T, len(even)


# --- slow drift, and many tests at once -----------------------------------------------------------


def drift_by_week(counts: Counts, reference: Counts | None) -> dict[float, Interval]:
    """The mean PSI of the days of each week, against the reference or, without, the day before.

    `counts` has one row a day.
    """
    if reference is None:
        told = np.append(np.nan, psi(counts[:-1], counts[1:]))
    else:
        told = psi(reference, counts)
    weeks = np.array_split(told[: len(told) // 7 * 7], len(told) // 7)
    return {
        float(number): Interval.exact(float(np.nanmean(week)))
        for number, week in enumerate(weeks, start=1)
    }


def growing(of: Predictions, column: str, share_a_day: float) -> Predictions:
    """The same predictions with a column that grows by a share a day."""
    factor = (1 + share_a_day) ** (of.day - of.day[0])
    return replace(of, columns={**of.columns, column: of.columns[column] * factor})


def p_values(year: Year, windows: int, size: int, seed: int = 0) -> Values:
    """Chi-square tests of windows of independent flights against all: shape (windows, tests).

    There is a test for each column at each airport. Flights are drawn at random, so that nothing
    has changed and every small p-value is a coincidence.
    """
    random = np.random.default_rng(seed)
    of = year.training
    tests = []
    for airport in np.unique(of.columns["origin"]):
        here = of.where(of.columns["origin"] == airport)
        reference = Reference(here.columns, bins=5)
        drawn = random.integers(0, len(here), size=(windows, size))
        for name in FEATURES:
            if name == "origin":
                continue
            bins = reference.bins(name)
            places = reference.places(name, here.columns[name])[drawn]
            cells = np.arange(windows)[:, None] * bins + places
            found = np.bincount(cells.ravel(), minlength=windows * bins).reshape(-1, bins)
            filled = reference.counts[name] > 0
            expected = reference.counts[name][filled] / len(here) * size
            distances = ((found[:, filled] - expected) ** 2 / expected).sum(axis=1)
            tests.append(stats.chi2.sf(distances, filled.sum() - 1))
    return random.permuted(np.array(tests).T, axis=1)


def any_alarm(p: Values, alpha: float, *, corrected: bool) -> Interval:
    """The share of windows in which at least one of the tests raises an alarm.

    Corrected means Bonferroni's `alpha` over the number of tests. Holm's method, which finds more
    of what is there, raises its first alarm at the same bound.
    """
    tests = p.shape[1]
    return share(p.min(axis=1) < (alpha / tests if corrected else alpha))
