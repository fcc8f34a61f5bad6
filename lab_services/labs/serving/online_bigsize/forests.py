"""The forests of this chapter: trained once in a process of their own, kept with the other models.

    python -m lab_services.labs.serving.online_bigsize.forests

A forest answers with the mean of its trees, so one training gives every smaller forest too: its
first trees. They are written as ONNX here, because skl2onnx needs some GB of memory for so many
nodes. Written in groups of ten trees they also load with a third of the memory.
"""

import copy
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from lab_services.errors import LabError
from lab_services.models import store, subprocess_training

SIZES = (10, 30, 100)
GROUP = 10
# A probability may differ this much between scikit-learn (64 bit) and ONNX (32 bit).
TOLERANCE = 1e-5


def name_of(trees: int) -> str:
    """What the forest of so many trees is called among the models."""
    return f"forest-{trees}"


def ensure() -> dict[str, Path]:
    """The path of each forest by its name; what is missing or of another recipe is trained.

    That takes half a minute. A process of its own gives back the memory that training needs. Raises
    LabError where it fails, ModelMissing or ModelDamaged where the model `good` is not there or not
    whole.
    """
    return subprocess_training.ensure(__name__, map(name_of, SIZES), _recipe())


def said_by(names: Sequence[str], flights: int) -> tuple[Any, dict[str, Any]]:
    """Which unseen flights were late, and what each model says of them: arrays of `flights`.

    Asked in a process of its own, which takes the models' memory along when it ends.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_said_by, list(names), flights).result()


def _said_by(names: list[str], n: int) -> tuple[Any, dict[str, Any]]:
    import numpy as np

    from lab_services.models import payloads
    from lab_services.models.scoring import predict_proba

    flights = payloads.flights(n, seed=3)
    late = np.array(payloads.outcomes(n, seed=3))
    return late, {name: predict_proba(name, flights) for name in names}


def train() -> None:
    """Train the largest forest on January to September, and write it and its smaller ones down."""
    from sklearn.ensemble import RandomForestClassifier

    from lab_services.models import features, flights

    good = store.verify(store.model_path("good"))
    training = flights.clean().training
    late = training["late"].to_numpy()
    codes = features.Codes(**good["codes"])
    rows = features.prepare_columns(
        {name: training[name].to_numpy() for name in features.FEATURES}, codes
    )
    del training
    model = RandomForestClassifier(
        max(SIZES), min_samples_leaf=12, max_features=4, max_samples=0.5, n_jobs=-1, random_state=0
    ).fit(rows, late)
    for trees in SIZES:
        content = onnx_of(model.estimators_[:trees], rows.shape[1])
        _check(content, model.estimators_[:trees], rows[:2000])
        card = copy.deepcopy(good) | {
            "name": name_of(trees),
            "what": f"forest of {trees} trees",
            "recipe": _recipe(),
        }
        del card["metrics"]  # those of another model; the lab measures
        store.save(store.model_path(name_of(trees)), content, card)


def onnx_of(trees: Sequence[Any], features: int) -> bytes:
    """The mean of fitted scikit-learn trees with two classes, as ONNX with the output
    `probabilities`: shape (rows, 2)."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    starts = range(0, len(trees), GROUP)
    parts = [f"part-{start}" for start in starts]
    nodes = [
        _ensemble(trees[start : start + GROUP], len(trees), part)
        for start, part in zip(starts, parts, strict=True)
    ]
    nodes += [
        helper.make_node("Sum", parts, ["late"]),
        helper.make_node("Sub", ["one", "late"], ["punctual"]),
        helper.make_node("Concat", ["punctual", "late"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "forest",
        [helper.make_tensor_value_info("flights", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(np.ones((1, 1), np.float32), "one")],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    content: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=10
    ).SerializeToString(deterministic=True)
    return content


def _ensemble(trees: Sequence[Any], of: int, output: str) -> Any:
    """Trees as one node TreeEnsemble; their leaves hold the chance to be late over `of` trees."""
    import numpy as np
    from onnx import AttributeProto, helper, numpy_helper

    columns: dict[str, list[Any]] = {}
    roots, inner_before, leaves_before = [], 0, 0
    for each in trees:
        tree = each.tree_
        inner = tree.children_left >= 0
        if not inner[0]:
            raise LabError("A tree without a question cannot be written.", "Train on more flights.")
        # Inner nodes and leaves are numbered apart.
        place = np.where(
            inner, np.cumsum(inner) - 1 + inner_before, np.cumsum(~inner) - 1 + leaves_before
        )
        left, right = tree.children_left[inner], tree.children_right[inner]
        shares = tree.value[~inner, 0, :]
        for name, values in {
            "nodes_featureids": tree.feature[inner],
            "nodes_splits": _down(tree.threshold[inner]),
            "nodes_truenodeids": place[left],
            "nodes_falsenodeids": place[right],
            "nodes_trueleafs": ~inner[left],
            "nodes_falseleafs": ~inner[right],
            "leaf_weights": (shares[:, 1] / shares.sum(axis=1) / of).astype(np.float32),
        }.items():
            columns.setdefault(name, []).append(values)
        roots.append(inner_before)
        inner_before += int(inner.sum())
        leaves_before += int((~inner).sum())
    node = helper.make_node(
        "TreeEnsemble",
        ["flights"],
        [output],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=1,  # the sum
        post_transform=0,
    )
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    joined |= {
        "tree_roots": np.array(roots),
        "leaf_targetids": np.zeros(leaves_before, int),
        "nodes_modes": np.zeros(inner_before, np.uint8),  # at most the split: to the left
    }
    for name, values in sorted(joined.items()):
        if values.dtype in (np.float32, np.uint8):
            node.attribute.append(helper.make_attribute(name, numpy_helper.from_array(values)))
        else:  # make_attribute looks at every number by itself, which takes seconds
            attribute = AttributeProto(name=name, type=AttributeProto.INTS)
            attribute.ints.extend(values.astype(np.int64).tolist())
            node.attribute.append(attribute)
    return node


def _down(thresholds: Any) -> Any:
    """As 32 bit, rounded down: then `x <= threshold` says the same of every 32 bit x."""
    import numpy as np

    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)


def _check(content: bytes, trees: Sequence[Any], rows: Any) -> None:
    """Raises LabError where ONNX and scikit-learn disagree."""
    import numpy as np

    from lab_services.models.scoring import scorer

    trained = np.mean([tree.predict_proba(rows)[:, 1] for tree in trees], axis=0)
    worst = float(np.abs(scorer(content)(rows) - trained).max())
    if not worst <= TOLERANCE:
        raise LabError(f"The ONNX form of the forest differs from the trained one by {worst:.2g}.")


def _recipe() -> str:
    """A hash over what the forests come from: this file, and what `good` comes from."""
    return store.recipe_of([Path(__file__)], parent=store.card("good")["recipe"])


if __name__ == "__main__":
    train()
