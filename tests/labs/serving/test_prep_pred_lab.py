"""Helpers of the lab `serving/prep-pred`: what it reads off, and the theory."""

import json
import runpy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

from lab_services import paths, payloads
from lab_services.labs.serving.prep_pred import lab, versions
from lab_services.models import build, store
from lab_services.models.features import EXAMPLE
from lab_services.report.fit import Line
from lab_services.stack import compose, envoy
from lab_services.stack.catalogue import compose_path
from lab_services.traffic.recording import Recording
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


# --- the prediction ------------------------------------------------------------------------------


@pytest.fixture
def prediction(models, monkeypatch):
    monkeypatch.setenv("MODEL", str(models["good"]))
    with TestClient(runpy.run_module(f"{HERE}.predict")["app"]) as client:
        yield client


def test_what_is_no_rows_is_a_422(prediction):
    """A traceback for a body that is cut short."""
    bad = prediction.post("/predict", content=b"123", headers={"x-encoding": "tensor"})
    assert bad.status_code == 422
    unknown = prediction.post("/predict", content=b"", headers={"x-encoding": "csv"})
    assert unknown.status_code == 422


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


def test_without_a_handshake_nothing_is_said(preparation, other):
    preparation.post("/predict", json=EXAMPLE, headers={"x-handshake": "off"})
    assert "x-contract" not in other.asked[0].headers


def test_a_refusal_is_handed_on(preparation, other, card):
    """A refusal that ends as an answer, or as something that looks like an outage."""
    other.status, other.said = 409, {"detail": "not these rows"}
    answer = preparation.post("/predict", json=EXAMPLE)
    assert (answer.status_code, answer.json()["detail"]) == (409, "not these rows")
    assert answer.headers["x-answered-by"].endswith("+theirs")


def test_another_half_that_is_away_or_talks_nonsense_is_a_503(preparation, other, monkeypatch):
    other.said = b"{half an ans"
    assert preparation.post("/predict", json=EXAMPLE).status_code == 503
    other.stop()
    assert preparation.post("/predict", json=EXAMPLE).status_code == 503


@pytest.mark.parametrize("query", ["samples=0", "samples=6000", "hours=-1", "encoding=csv"])
def test_what_the_preparation_cannot_do_is_refused(preparation, other, query):
    assert preparation.post(f"/predict?{query}", json=EXAMPLE).status_code == 422
    assert other.asked == []


# --- version 2 -----------------------------------------------------------------------------------


def test_version_2_answers_what_version_1_does():
    """A threshold in a wrong unit, or a leaf that was taken for one."""
    said = lab.answers(payloads.flights(3000, seed=3))
    late = {pair: chances > 0.3 for pair, chances in said.items()}
    same = late["good", "good"] == late[versions.METRIC, versions.METRIC]
    assert same.mean() > 0.999
    for pair in (("good", versions.METRIC), (versions.METRIC, "good")):
        assert (late["good", "good"] == late[pair]).mean() < 0.9


def test_version_2_is_built_once_and_again_when_it_is_damaged(models, tmp_path, monkeypatch):
    """A model built at every start, or a broken one that is served."""
    for suffix in (".onnx", ".json"):
        name = models["good"].with_suffix(suffix)
        (tmp_path / name.name).write_bytes(name.read_bytes())
    monkeypatch.setattr(paths, "models_dir", lambda: tmp_path)
    built = versions.ensure_metric()
    stamp = built.stat().st_mtime_ns
    assert versions.ensure_metric().stat().st_mtime_ns == stamp
    whole = built.read_bytes()
    built.write_bytes(whole[:-1])
    assert versions.ensure_metric().read_bytes() == whole
    beside = json.loads(built.with_suffix(".json").read_text())
    built.with_suffix(".json").write_text(json.dumps(beside | {"of": "another model"}))
    versions.ensure_metric()
    assert store.card(versions.METRIC)["of"] == store.card("good")["sha256"]


def test_the_tightest_pool_decides():
    assert lab.expected([0.01, 0.01], [1, 3], 1.0) == pytest.approx(100)
    assert lab.expected([0.01, 0.01], [2, 2], 0.5) == pytest.approx(100)
    assert lab.expected([0.03, 0.01], [3, 1], 1.0) == pytest.approx(100)
    with pytest.raises(ValueError, match="zip"):
        lab.expected([0.01], [1, 2], 1.0)


def test_work_too_little_to_be_measured_divides_nothing():
    """A processor's clock that has not ticked, and a division by 0."""
    assert lab.expected([0.0, 0.01], [1, 3], 1.0) == pytest.approx(300)
    assert np.isnan(lab.expected([0.0, 0.0], [1, 3], 1.0))


def test_hours_that_make_a_ratio():
    """Hours of another ratio, or a search without an end, where no hours make it."""
    prediction = Line(0.002, 0.0)
    assert lab.hours_for(3.0, Line(0.001, 0.0005), prediction) == 10
    assert lab.hours_for(0, Line(0.001, 0.0), prediction) == 0
    assert lab.hours_for(3.0, Line(0.001, 0.0), prediction) is None


def test_of_no_request_nothing_is_said():
    """A phase that the traffic did not reach, in which nothing was wrong."""
    found = pd.Series(["right", "right", "refused"])
    assert lab.count(found, "right").value == 2
    assert lab.others([found, found], "right").value == 2
    one = pd.DataFrame({"status": [200], "ok": [True], "answered_by": ["a+a"]})
    none = lab.outcomes(one.iloc[:0])
    assert "no request" in lab.count(none, "right").note
    assert "no request" in lab.others([found, none], "right").note


def latencies(added):
    """A recording of a service that does both halves in 10 ms, and of halves that add to it."""
    spread = np.linspace(-1e-4, 1e-4, 21)
    table = pd.DataFrame(
        {
            "intended": np.arange(42.0),
            "latency": np.concatenate([0.01 + added + spread, 0.01 + spread]),
            "ok": True,
            "way": ["halves"] * 21 + ["whole"] * 21,
        }
    )
    return Recording(table.assign(warmup=False), 0.0, 42.0)


def test_what_a_hop_adds_over_its_line():
    """A line that forgets the serialisation, or the error of the two points it goes through."""
    # 1 ms and 1 µs a byte; of 2,000 bytes that is 3 ms, and 2 ms to encode and decode them.
    small, large, timings = latencies(0.001), latencies(0.002), np.full(9, 0.002)
    found = lab.over_line(latencies(0.005), small, large, timings, (0, 1000, 2000))
    assert found.value == pytest.approx(1.0, rel=0.01)
    assert found.low < 0.99 and found.high > 1.01
    few = lab.over_line(latencies(0.005), small, large, timings[:1], (0, 1000, 2000))
    assert not few.known


def test_changes_made_at_once_are_all_made_and_errors_come_back():
    """A split that is not what it says, because one of its pools was not scaled."""
    made = []
    lab.at_once(*[lambda n=n: made.append(n) for n in range(3)])
    assert sorted(made) == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        lab.at_once(lambda: made.append(3), lambda: 1 / 0)
    assert 3 in made


def recording(**columns):
    table = pd.DataFrame(columns)
    return SimpleNamespace(table=table, begin=10.0, seconds=2.0)


def test_answers_count_when_they_come():
    """Answers after the end, or none of those that were asked for in the warm-up."""
    found = lab.completions(
        recording(
            intended=[9.0, 9.5, 10.5, 11.5, 11.0],
            latency=[0.5, 1.0, 1.0, 1.0, 0.5],
            ok=[True, True, True, True, False],
            warmup=[True, True, False, False, False],
        )
    )
    assert found["intended"].tolist() == [10.5, 11.5]
    assert not found["warmup"].any()


def test_what_became_of_a_request():
    """An answer of two versions taken for a right one, or a lost one for a wrong one."""
    table = pd.DataFrame(
        {
            "status": [200, 200, 409, 0, 503, 200],
            "ok": [True, True, False, False, False, True],
            "answered_by": ["a+a", "a+b", "a+b", "", "a+", ""],
        }
    )
    assert lab.outcomes(table).tolist() == [
        "right",
        "silently wrong",
        "refused",
        "failed",
        "failed",
        "silently wrong",
    ]
    assert lab.outcomes(table.iloc[3:4]).tolist() == ["failed"]


def test_the_proxy_stands_before_every_pool(monkeypatch):
    """A pool that nobody asks for its health, or that traffic cannot reach."""
    monkeypatch.setenv("LAB_MODELS", "/models")
    topology = compose.read(compose_path("serving/prep-pred"))
    config = envoy.read_config(topology.services["proxy"])
    assert {cluster.service for cluster in envoy.clusters(config, topology)} == {
        "preparation",
        "prediction",
        "prediction-kept",
        "whole",
    }
    assert all("health_checks" in cluster for cluster in config["static_resources"]["clusters"])
