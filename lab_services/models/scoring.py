"""What a model says of flights, asked without a service.

A job that predicts many flights imports this module, so it needs NumPy and onnxruntime only.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from lab_services.models import features, store

Scorer = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def scorer(onnx: Path | bytes) -> Scorer:
    """What a model, its file or the bytes of one, gives prepared rows: their chances to be late.

    `features.prepare` makes rows of flights. Raises what onnxruntime raises of a file that is none.

    >>> scorer(store.model_path("good"))(rows)      # doctest: +SKIP
    array([0.12, 0.45], dtype=float32)
    """
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])

    def score(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        answer: NDArray[np.float32] = session.run(["probabilities"], {"flights": rows})[0]
        return answer[:, 1]

    return score


def predict_proba(name: str, flights: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """What the model of this name says of each flight: its chance to be late.

    Raises ModelMissing or ModelDamaged.

    >>> predict_proba("rough", payloads.flights(2))      # doctest: +SKIP
    array([0.21, 0.33])
    """
    path = store.model_path(name)
    codes = features.Codes(**store.verify(path)["codes"])
    return scorer(path)(features.prepare(flights, codes)).astype(np.float64)
