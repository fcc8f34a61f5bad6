"""What the lab asks of the stack and how it scores models; no service imports this."""

import math
import tempfile
from calendar import month_abbr
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psycopg
from numpy.typing import NDArray

from lab_services.models import store
from lab_services.patterns.training.batch_training import training
from lab_services.patterns.training.batch_training.training import Trained
from lab_services.report.resampling import resampled
from lab_services.report.stats import Interval
from lab_services.stack import Stack, loopback
from lab_services.stack.messages import Fault
from lab_services.stack.tables import read
from lab_services.waiting import wait_until

# Flights of one day share its weather, so a day is drawn as a whole. The months are in the order of
# time, and a thirtieth of one is about a day.
DAYS = 30
# Seconds for a run to end and for a version to be served: a busy machine takes its time.
_PATIENCE = 300.0

Days = NDArray[np.float64]


class Controls:
    """The buttons of the stack: the scheduler's, the watch's, the predictor's."""

    def __init__(self, stack: Stack) -> None:
        self._scheduler, self._watch = stack.url("scheduler"), stack.url("watch")
        self._predictor = stack.url("predictor")
        self._client = loopback.client(timeout=_PATIENCE)

    def run(
        self, month: int, model: str = "late", job: str = "job", die_after: str = ""
    ) -> dict[str, Any]:
        """Run the job now; its exit code and seconds."""
        order = {"month": month, "model": model, "job": job, "die_after": die_after}
        return self._post(f"{self._scheduler}/runs", order)

    def calendar(
        self, first: int, last: int, month_seconds: float, die_after: str = ""
    ) -> dict[str, Any]:
        """Begin a calendar; when it began."""
        plan = {"model": "late", "first": first, "last": last, "die_after": die_after}
        return self._post(f"{self._scheduler}/calendar", {**plan, "month_seconds": month_seconds})

    def pause(self) -> None:
        """Let the calendar fire no more."""
        self._post(f"{self._scheduler}/calendar/pause", None)

    def arm(self, stale_after: float) -> None:
        """Reset the alarms; absence goes off after `stale_after` seconds without a success."""
        self._post(f"{self._watch}/arm", {"model": "late", "stale_after": stale_after})

    def alarms(self) -> dict[str, Any]:
        """Which alarms went off and when, and the ages seen."""
        return self._get(f"{self._watch}/alarms").json()  # type: ignore[no-any-return]

    def champion(self) -> int:
        """The version that the predictor serves; 0 for none."""
        return int(self._get(f"{self._predictor}/champion").json()["version"])

    def wait_for(self, version: int, seconds: float = _PATIENCE) -> None:
        """Wait until the predictor serves that version. Raises LabError."""
        what = f"the predictor serves version {version}"
        wait_until(lambda: self.champion() == version, seconds, what)

    def model(self, name: str) -> Trained:
        """A model by the name of its folder, such as late/2013-05.

        Raises ModelMissing or ModelDamaged where its files are not there or not whole.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            for file in (path, path.with_suffix(".json")):
                answer = self._client.get(f"{self._scheduler}/models/{name}/{file.name}")
                if answer.status_code == 404:
                    raise store.ModelMissing(Path(name, file.name))
                file.write_bytes(answer.raise_for_status().content)
            return training.opened(path)

    def whole(self, name: str) -> bool:
        """Whether the model of that name can be served."""
        try:
            self.model(name)
        except (store.ModelMissing, store.ModelDamaged):
            return False
        return True

    def _get(self, url: str) -> httpx.Response:
        return self._client.get(url).raise_for_status()

    def _post(self, url: str, body: Any) -> dict[str, Any]:
        return self._client.post(url, json=body).raise_for_status().json()  # type: ignore[no-any-return]


def versions(database: psycopg.Connection[Any], model: str) -> pd.DataFrame:
    """What MLflow's registry holds of a model, read from its own tables: a row a version."""
    query = "SELECT version, key, value FROM model_version_tags WHERE name = %s"
    table = (
        read(database, query, [model])
        .pivot(index="version", columns="key", values="value")
        .astype(float)
    )
    query = "SELECT alias, version FROM registered_model_aliases WHERE name = %s"
    table["alias"] = ""
    for alias, version in database.execute(query, [model]):
        table.loc[version, "alias"] += f"{alias} "
    return table.astype({"month": int}).sort_index()


def runs(database: psycopg.Connection[Any], since: float) -> list[Fault]:
    """Each month's first run that ended well, from `since` (Unix s) on, to shade in a timeline."""
    query = (
        "SELECT DISTINCT ON (month) month, extract(epoch FROM began)::float,"
        " extract(epoch FROM ended)::float FROM job_runs WHERE model = 'late'"
        " AND status = 'succeeded' AND extract(epoch FROM began) > %s ORDER BY month, began"
    )
    return [
        Fault("train", month_abbr[month], None, began, ended)
        for month, began, ended in database.execute(query, [since])
    ]


def in_force(month: int, every: int) -> int:
    """The month of the version that serves `month`, retrained after months 1, 1 + every, …

    >>> [in_force(month, every=3) for month in (2, 4, 5, 7)]
    [1, 1, 4, 4]
    """
    return 1 + (month - 2) // every * every


def loss_by_day(model: Trained, flights: pd.DataFrame) -> Days:
    """The mean logarithmic loss of each day of a month."""
    losses = training.losses(flights["late"].to_numpy(dtype=bool), training.predict(model, flights))
    return np.array([part.mean() for part in np.array_split(losses, DAYS)])


def mean(days: Days) -> Interval:
    """The mean over days with its 95 % interval, days drawn with repetition."""
    return resampled(lambda s: float(s[0].mean()), days, unit="nats")


def ratio(a: Days, b: Days) -> Interval:
    """The mean of `a` over that of `b`; the same days are drawn for both."""
    return resampled(lambda s: float(s[0].mean() / s[1].mean()), a, b, unit="ratio")


def excess(a: Days, b: Days) -> Interval:
    """By which share the mean of `a` is above that of `b`; the same days are drawn for both."""
    return resampled(lambda s: float(s[0].mean() / s[1].mean() - 1), a, b, unit="share")


def share_kept(worst: Days, some: Days, best: Days) -> Interval:
    """Which share of the gain from `worst` to `best` one has with `some`."""

    def share(series: Sequence[Days]) -> float:
        low, middle, high = (days.mean() for days in series)
        return float((low - middle) / (low - high))

    return resampled(share, worst, some, best, unit="share")


def gate_passes(model: Trained, champion: Trained, texts: pd.DataFrame, month: int) -> bool:
    """Whether a comparison on the delivery's own last quarter would let the model replace the
    champion."""
    content = texts.assign(month=month, place=range(len(texts))).to_csv(index=False).encode()
    _, unseen = training.split(training.usable(training.read_csv(content)), month)
    return training.loss(model, unseen) <= training.loss(champion, unseen)


def delay(ages: Sequence[Sequence[float]], fault: float, threshold: float) -> float:
    """Seconds from the fault to the first look after it that saw an age above the threshold.

    nan where no look did.
    """
    return next((at for at, age in ages if at > fault and age > threshold), math.nan) - fault


def last_success(ages: Sequence[Sequence[float]], before: float) -> float:
    """When, in Unix seconds, a run had last ended well before a time; nan where nobody looked."""
    return next((at - age for at, age in reversed(ages) if at <= before), math.nan)
