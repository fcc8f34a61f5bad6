"""Both halves and the handshake between them, version 2 of the model, and what the lab computes."""

import runpy
from types import SimpleNamespace

import numpy as np
import pytest
from starlette.testclient import TestClient

from lab_services import payloads
from lab_services.labs.serving.prep_pred import lab, versions
from lab_services.models import build, features, store
from lab_services.models.features import EXAMPLE, FEATURES
from lab_services.models.scoring import scorer
from lab_services.patterns.serving.prep_pred import preparing, wire
from lab_services.report.stats import Interval
from tests.patterns.fake_service import Answer, fake_service

HERE = "lab_services.patterns.serving.prep_pred"


@pytest.fixture(scope="module", autouse=True)
def models():
    """The good model and the one in metric units."""
    build.ensure("good")
    return {"good": store.model_path("good"), "metric": versions.ensure_metric()}


@pytest.fixture
def card():
    return store.card("good")


def prepared(path, flight=EXAMPLE, samples=1, hours=0):
    preparation = preparing.Preparation()
    preparation.load_for(path)
    return preparation.rows(flight, samples, hours)


# --- the contract --------------------------------------------------------------------------------


def test_a_model_that_was_only_trained_again_has_the_same_contract(card):
    """Every retraining would be refused by the preparation that suits it."""
    again = card | {"sha256": "0" * 64, "metrics": {"auc": 0.5}, "name": "better"}
    assert preparing.contract(again) == preparing.contract(card)


def test_whatever_rows_depend_on_changes_the_contract(card):
    """A change of units, order, columns or codes that the handshake would wave through."""
    names = list(card["features"])
    changed = [
        versions.metric_card(card),
        card | {"features": {name: card["features"][name] for name in reversed(names)}},
        card | {"features": {name: card["features"][name] for name in names[1:]}},
        card | {"codes": card["codes"] | {"origin": {"JFK": 0.9}}},
    ]
    contracts = {preparing.contract(each) for each in [card, *changed]}
    assert len(contracts) == 5


# --- rows ----------------------------------------------------------------------------------------


def test_a_forecast_that_need_not_drift_is_the_flight_itself(models, card):
    """Rows that are not those that the model was trained on."""
    rows = prepared(models["good"], samples=3)
    one = features.prepare([EXAMPLE], features.Codes(**card["codes"]))
    np.testing.assert_array_equal(rows, np.repeat(one, 3, axis=0))
    assert rows.dtype == np.float32


def test_weathers_drift_and_stay_possible(models):
    """Rain below zero, or a schedule that drifts along."""
    rows = prepared(models["good"], samples=500, hours=400)
    for at, name in enumerate(FEATURES):
        limits = features.SCHEMA["properties"][name]
        if name in ("temperature", "humidity", "wind", "rain"):
            assert rows[:, at].std() > 0
            assert rows[:, at].min() >= limits["minimum"] - 1e-4
            assert rows[:, at].max() <= limits["maximum"] + 1e-4
        else:
            assert (rows[:, at] == rows[0, at]).all()


def test_version_2_counts_in_metric_units(models):
    """A preparation that does not look at the card it was given."""
    old, new = (
        dict(zip(FEATURES, prepared(models[at])[0].tolist(), strict=True))
        for at in ("good", "metric")
    )
    assert new["distance"] == pytest.approx(old["distance"] * 1.609344)
    assert new["temperature"] == pytest.approx((old["temperature"] - 32) / 1.8, rel=1e-4)
    assert new["rain"] == pytest.approx(old["rain"] * 25.4)
    for name in ("carrier", "origin", "weekday", "departs", "humidity"):
        assert new[name] == pytest.approx(old[name])


@pytest.mark.parametrize("name", wire.NAMES)
def test_every_encoding_brings_the_rows_back(models, name):
    """Numbers lost, rounded or put into another column on the way."""
    rows = prepared(models["good"], samples=7, hours=3)
    there = wire.WIRES[name]
    np.testing.assert_array_equal(there.decode(there.encode(rows)), rows)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("tensor", b"123"),
        ("tensor", b"\0" * 40),
        ("rows", b"[[1, 2]]"),
        ("rows", b"nothing"),
        ("msgpack", b"\x93\x01"),
        ("records", b'[{"carrier": 1}]'),
    ],
)
def test_a_body_without_rows_is_refused(name, body):
    with pytest.raises((ValueError, KeyError)):
        wire.WIRES[name].decode(body)


# --- the prediction ------------------------------------------------------------------------------


@pytest.fixture
def prediction(models, monkeypatch):
    monkeypatch.setenv("MODEL", str(models["good"]))
    with TestClient(runpy.run_module(f"{HERE}.predict")["app"]) as client:
        yield client


def ask(prediction, rows, name="tensor", **headers):
    return prediction.post(
        "/predict", content=wire.WIRES[name].encode(rows), headers={"x-encoding": name, **headers}
    )


@pytest.mark.parametrize("name", wire.NAMES)
def test_rows_in_every_encoding_are_predicted_alike(prediction, models, name):
    rows = prepared(models["good"], samples=5, hours=2)
    expected = scorer(models["good"])(rows).mean()
    answer = ask(prediction, rows, name)
    assert answer.status_code == 200
    assert answer.json()["probability"] == pytest.approx(expected, abs=1e-6)


def test_the_handshake(prediction, models, card):
    """Rows for another model answered with 200 although they say so, or right ones refused."""
    own, other = preparing.contract(card), preparing.contract(store.card(versions.METRIC))
    rows = prepared(models["metric"])
    refused = ask(prediction, rows, **{"x-contract": other})
    assert refused.status_code == 409
    assert refused.headers["x-contract"] == own
    assert other in refused.json()["detail"]
    assert ask(prediction, prepared(models["good"]), **{"x-contract": own}).status_code == 200
    silent = ask(prediction, rows)  # who does not say is believed
    assert (silent.status_code, silent.headers["x-contract"]) == (200, own)


# --- the preparation -----------------------------------------------------------------------------


@pytest.fixture
def other():
    """The other half, which answers what the test wants."""
    half = SimpleNamespace(status=200, said={"probability": 0.4, "late": True})

    def answer(asked):
        return Answer(half.said, half.status, {"x-contract": "theirs"})

    with fake_service(answer) as service:
        half.url, half.asked, half.stop = service.url, service.asked, service.stop
        yield half


@pytest.fixture
def preparation(models, other, monkeypatch):
    monkeypatch.setenv("PREPARES_FOR", str(models["good"]))
    monkeypatch.setenv("PREDICTION_URL", other.url)
    with TestClient(runpy.run_module(f"{HERE}.prepare")["app"]) as client:
        yield client


def test_the_preparation_sends_rows_and_says_what_they_keep_to(preparation, other, models, card):
    """Another encoding than asked for, or a handshake that is not made."""
    answer = preparation.post("/predict?samples=4&encoding=rows", json=EXAMPLE)
    assert (answer.status_code, answer.json()) == (200, {"probability": 0.4, "late": True})
    (asked,) = other.asked
    assert asked.headers["x-contract"] == preparing.contract(card)
    rows = wire.WIRES[asked.headers["x-encoding"]].decode(asked.body)
    np.testing.assert_array_equal(rows, prepared(models["good"], samples=4))
    assert answer.headers["x-answered-by"] == f"{preparing.contract(card)}+theirs"


def test_the_whole_answers_what_the_halves_do(models, prediction, monkeypatch):
    """A comparison of services that do not do the same."""
    monkeypatch.setenv("PREPARES_FOR", str(models["good"]))
    with TestClient(runpy.run_module(f"{HERE}.whole")["app"]) as whole:
        for flight in payloads.flights(5):
            alone = whole.post("/predict?samples=2", json=flight).json()
            assert alone == ask(prediction, prepared(models["good"], flight, 2)).json()


# --- what the lab computes -----------------------------------------------------------------------


def interval(value, low=None, high=None):
    return Interval(value, low or value, high or value, 100, "s")


def test_serialisation_takes_time(models):
    rows = prepared(models["good"], samples=200, hours=1)
    slow, quick = (np.median(lab.serialisation(form, rows)) for form in ("records", "tensor"))
    assert slow > quick > 0
