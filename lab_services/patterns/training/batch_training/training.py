"""Training as the job needs it: what may be held out, the fit, the export, the files."""

import hashlib
import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_services.models import build, features, store
from lab_services.models.scoring import scorer

RECIPE = "rough"
# A month's last quarter is kept from the training, so that models can be compared on it.
HELD_OUT = 0.25
# More flights than this teach 11 features nothing new, and the cost of a run stays the same.
ROWS = 30_000


class Trained(NamedTuple):
    """A model as it is served: the ONNX file's bytes and the codes of its inputs."""

    onnx: bytes
    codes: features.Codes


def columns(table: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """One array a feature."""
    return {name: table[name].to_numpy() for name in features.FEATURES}


def split(table: pd.DataFrame, month: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What to train on, and the last flights of the month, to compare on."""
    last = table.index[table["month"] == month]
    kept = table.index.isin(last[int(len(last) * (1 - HELD_OUT)) :])
    return table[~kept], table[kept]


def fit(table: pd.DataFrame) -> Trained:
    """Train and export. Raises ExportDiffers where the two forms disagree."""
    late = table["late"].to_numpy(dtype=bool)
    codes = features.Codes.learn(columns(table), late)
    rows = features.prepare_columns(columns(table), codes)
    model, onnx = build._train(RECIPE, rows, late)
    build._agreeing(RECIPE, model, onnx, rows[:1000])
    return Trained(onnx, codes)


def predict(trained: Trained, table: pd.DataFrame) -> NDArray[np.float32]:
    """The probability to be late for each flight of a table."""
    return scorer(trained.onnx)(features.prepare_columns(columns(table), trained.codes))


def losses(late: NDArray[np.bool_], predicted: NDArray[np.float32]) -> NDArray[np.float64]:
    """The logarithmic loss of each prediction."""
    p = np.clip(predicted.astype(float), 1e-6, 1 - 1e-6)
    each: NDArray[np.float64] = np.where(late, -np.log(p), -np.log(1 - p))
    return each


def loss(trained: Trained, table: pd.DataFrame) -> float:
    """The mean logarithmic loss on a table."""
    return float(losses(table["late"].to_numpy(dtype=bool), predict(trained, table)).mean())


def card(trained: Trained, month: int, rows: int) -> dict[str, Any]:
    """What the predictor needs to know beside the ONNX file, with the file's hash."""
    return {
        "name": f"2013-{month:02}",
        "month": month,
        "rows": rows,
        "codes": trained.codes._asdict(),
        "recipe": RECIPE,
        "sha256": hashlib.sha256(trained.onnx).hexdigest(),
    }


def write(folder: Path, trained: Trained, card: dict[str, Any]) -> Path:
    """Put both files into a new folder, whole or not at all; the path of the model.

    They are written beside it first. The renaming is the one moment at which the folder appears.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    (beside / "model.onnx").write_bytes(trained.onnx)
    (beside / "model.json").write_text(json.dumps(card))
    beside.chmod(0o755)
    if folder.exists():  # of a run that was killed before its version was registered
        shutil.rmtree(folder)
    os.rename(beside, folder)
    return folder / "model.onnx"


def opened(path: Path) -> Trained:
    """A written model. Raises ModelMissing or ModelDamaged."""
    card = store.verify(path)
    return Trained(path.read_bytes(), features.Codes(**card["codes"]))


def read_csv(content: bytes) -> pd.DataFrame:
    """A delivery as pandas takes it to be: types are guessed from the texts."""
    return pd.read_csv(io.BytesIO(content), dtype=dict.fromkeys(features.CODED, str))


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """What the naive job makes of it: no number becomes 0, no outcome becomes "not late"."""
    for name in features.FEATURES:
        if features.SCHEMA["properties"][name]["type"] != "string":
            table[name] = pd.to_numeric(table[name], errors="coerce").fillna(0)
    return table.assign(late=table["late"].astype(str) == "True")
