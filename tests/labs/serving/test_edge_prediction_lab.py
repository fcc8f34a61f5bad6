"""Helpers of the lab `serving/edge-prediction`: what it reads off, and the theory."""

import numpy as np
import pandas as pd
import pytest

from lab_services import payloads
from lab_services.labs.serving.edge_prediction import compact, lab
from lab_services.models import build, features, store
from lab_services.models.features import FEATURES
from lab_services.models.scoring import scorer


@pytest.fixture(scope="module", autouse=True)
def models():
    """The model of the server, whose codes the small ones share, and the small ones."""
    build.ensure("good")
    return compact.ensure()


def test_the_model_in_metric_units_is_right_about_rows_in_metric_units(models):
    """A broken update that would be wrong in any units proves nothing."""
    card = store.card("edge-int8")
    rows = features.prepare(payloads.flights(50), features.Codes(**card["codes"]))
    metric = rows.copy()
    for name, factor, offset in (
        ("distance", 1.609344, 0), ("temperature", 1 / 1.8, -32 / 1.8), ("wind", 1.609344, 0),
        ("rain", 25.4, 0), ("visibility", 1.609344, 0),
    ):  # fmt: skip
        at = FEATURES.index(name)
        metric[:, at] = metric[:, at] * factor + offset
    imperial, converted = scorer(models["edge-int8"]), scorer(models["edge-metric"])
    np.testing.assert_allclose(converted(metric), imperial(rows), atol=0.02)
    assert abs(converted(rows) - imperial(rows)).max() > 0.2


# --- what the lab computes -----------------------------------------------------------------------


def updates(seconds, every=2.0):
    return pd.DataFrame({"every": every, "at": [100 + each for each in seconds]})


def test_the_share_with_the_new_version_is_counted():
    found = lab.spread(updates([0.5, 1.0, 1.5, 2.0]), 100, [0.1, 1.2, 2.0])
    shares = [each.value for each in found["looks every 2 s"].values()]
    assert shares == [0, 0.5, 1]


def test_the_distance_from_the_line():
    """A claim that no fleet could fail."""
    even = updates(np.linspace(0, 2, 41))
    assert lab.distance(even, 100).value < 0.05
    together = updates([1.9] * 41)
    assert lab.distance(together, 100).value == pytest.approx(0.95)
    never_in_time = updates([5.0] * 41)
    assert lab.distance(never_in_time, 100).value == pytest.approx(1)
    # Those who look half as often have it half as soon, and are on the line as well.
    both = pd.concat([even, updates(np.linspace(0, 4, 41), every=4.0)])
    assert lab.distance(both, 100).value < 0.05


def test_the_distance_holds_the_true_one():
    """A fleet of a few devices whose distance looks certain."""
    random = np.random.default_rng(0)
    found = [lab.distance(updates(2 * random.random(50) ** 2), 100) for _ in range(200)]
    # Of squares a share of sqrt(x) is below x, which is above x by 1/4 at most.
    assert np.mean([each.low <= 0.25 <= each.high for each in found]) >= 0.95


def test_devices_that_have_not_updated_are_no_traceback():
    """A fleet that is too slow for its interval taken for one that is all there, or an error."""
    half_there = updates([0.5, 1.0, np.inf, np.inf])
    shares = lab.spread(half_there, 100, [2.0])["looks every 2 s"]
    assert shares[2.0].value == 0.5
    assert lab.distance(half_there, 100).value == pytest.approx(0.5)
    assert not lab.distance(half_there[:0], 100).known  # nobody looks so often


def test_who_answered_and_with_which_model():
    table = pd.DataFrame(
        {
            "ok": [True, True, True, False],
            "answered_by": ["server", "device, version 2", "device, version 12", ""],
        }
    )
    by = lab.by_whom(table).tolist()
    assert by == ["by the server", "by the device", "by the device", "not at all"]
    model = lab.by_model([2])(table).tolist()
    assert model == ["right model", "wrong model", "right model", "no answer"]


def test_damage_is_in_the_middle_and_changes_no_length():
    content = bytes(800)
    found = lab.damaged(content)
    assert len(found) == 800 and found[:400] == content[:400] and found[500:] == content[500:]
    assert found != content


def test_verdicts_are_compared_at_the_threshold():
    found = lab.same_verdict(np.array([0.1, 0.31, 0.9]), np.array([0.2, 0.29, 0.8]), 0.3)
    assert found.value == pytest.approx(2 / 3)
