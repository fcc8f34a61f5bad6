"""The unit that holds API, preparation and model, and how long its replicas drain."""

import runpy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from starlette.testclient import TestClient

from lab_services.models import build
from lab_services.models.features import EXAMPLE
from lab_services.models.scoring import predict_proba
from lab_services.services.forecasts import Forecasts
from lab_services.stack import compose
from lab_services.stack.catalogue import compose_path

PREDICTOR = "lab_services.patterns.serving.web_single.predictor"


@pytest.fixture(scope="module", autouse=True)
def models():
    """The good model."""
    return build.ensure("good")


@pytest.fixture
def predictor(models, monkeypatch):
    """The unit, with one sample for a forecast: what the model says of the flight itself."""
    for name, value in {"MODEL": str(models["good"]), "SAMPLES": "1"}.items():
        monkeypatch.setenv(name, value)
    with TestClient(runpy.run_module(PREDICTOR)["app"]) as client:
        yield client


def test_a_flight_is_answered_by_the_model(predictor):
    """An answer that is not the model's, or a flight that is believed unread."""
    answer = predictor.post("/predict", json=EXAMPLE).json()
    (expected,) = predict_proba("good", [EXAMPLE])
    assert answer["probability"] == pytest.approx(expected, abs=1e-5)
    assert predictor.post("/predict", json={**EXAMPLE, "distance": -1}).status_code == 422


def test_a_probe_is_answered_while_the_model_works(predictor, monkeypatch):
    """A replica that is taken out of service for having work to do."""
    begun, goes_on = threading.Event(), threading.Event()
    usual = Forecasts.__call__

    def held(self, flights):
        begun.set()
        assert goes_on.wait(10)
        return usual(self, flights)

    monkeypatch.setattr(Forecasts, "__call__", held)
    with ThreadPoolExecutor(1) as caller:
        waiting = caller.submit(predictor.post, "/predict", json=EXAMPLE)
        assert begun.wait(10)
        ready = caller_of_its_own(predictor)
        goes_on.set()
    assert (ready.status_code, waiting.result().status_code) == (200, 200)


def caller_of_its_own(client):
    """The answer to a probe, by a thread that gives up."""
    with ThreadPoolExecutor(1) as caller:
        return caller.submit(client.get, "/ready").result(timeout=5)


def test_a_replica_drains_for_as_long_as_two_questions():
    """A drain that is over before an unlucky proxy has asked."""
    path = compose_path("serving/web-single")
    stack = compose.read(path, {"LAB_MODELS": "/models"})
    drains = float(stack.services["predictor"].environment["DRAIN_SECONDS"])
    config = yaml.safe_load((path.parent / "envoy.yaml").read_text())
    checks = [
        check
        for cluster in config["static_resources"]["clusters"]
        for check in cluster.get("health_checks", ())
    ]
    assert checks
    for check in checks:
        assert check["unhealthy_threshold"] == 1
        assert drains >= 2 * float(check["interval"].removesuffix("s"))
        assert check["interval"] == check["no_traffic_interval"]
