"""Model version 2: the same trees, trained on rows in metric units."""

import copy
from pathlib import Path
from typing import Any

from lab_services.models import store
from lab_services.models.features import FEATURES
from lab_services.patterns.serving.prep_pred.preparing import UNITS

METRIC = "good-metric"
_IN_METRIC = {"miles": "km", "°F": "°C", "mph": "km/h", "inches in the hour": "mm in the hour"}


def ensure_metric() -> Path:
    """Keep version 2 beside the model `good`; nothing is done where it is there and fits.

    A tree asks whether a number is above a threshold. Trained on the same flights in other units
    it asks the same questions with the thresholds in those units, so these are converted and no
    training is needed. Raises ModelMissing or ModelDamaged where `good` is not there or not whole.
    """
    path, good = store.model_path(METRIC), store.verify(store.model_path("good"))
    try:
        if store.verify(path)["of"] == good["sha256"]:
            return path
    except (store.ModelMissing, store.ModelDamaged, KeyError):
        pass  # built below
    card = metric_card(good)
    store.save(path, metric_model(store.model_path("good").read_bytes(), card), card)
    return path


def metric_card(good: dict[str, Any]) -> dict[str, Any]:
    """The card of version 2: as that of `good`, with metric units and limits."""
    card = copy.deepcopy(good) | {"name": METRIC, "of": good["sha256"]}
    for about in card["features"].values():
        if unit := _IN_METRIC.get(about.get("unit", "")):
            factor, offset = UNITS[unit]
            about["description"] = about["description"].replace(about["unit"], unit)
            about["unit"] = unit
            for end in ("minimum", "maximum"):
                about[end] = round(about[end] * factor + offset, 6)
    return card


def metric_model(good: bytes, card: dict[str, Any]) -> bytes:
    """The trees of `good` with every threshold in the unit that the card names."""
    import onnx

    model = onnx.load_from_string(good)
    (trees,) = [node for node in model.graph.node if node.op_type == "TreeEnsembleClassifier"]
    attributes = {attribute.name: attribute for attribute in trees.attribute}
    units = [UNITS.get(card["features"][name].get("unit"), (1.0, 0.0)) for name in FEATURES]
    asked = zip(attributes["nodes_modes"].strings, attributes["nodes_featureids"].ints, strict=True)
    values = attributes["nodes_values"].floats
    for place, (mode, feature) in enumerate(asked):
        if mode != b"LEAF":
            factor, offset = units[feature]
            values[place] = values[place] * factor + offset
    content: bytes = model.SerializeToString(deterministic=True)
    return content
