"""The caller against a predictor that the test makes ill, and what the lab reads off a run."""

import runpy
import time
from types import SimpleNamespace

import pytest
import yaml
from starlette.testclient import TestClient

from lab_services import paths, report
from lab_services.models import build
from lab_services.models.features import EXAMPLE
from lab_services.models.scoring import predict_proba
from lab_services.stack import compose
from lab_services.stack.catalogue import compose_path
from tests.patterns.fake_service import Answer, fake_service

APP = "lab_services.patterns.serving.prediction_circuit_break.app"
PREDICTOR = "lab_services.patterns.serving.prediction_circuit_break.predictor"
FROM_PREDICTOR = {"probability": 0.9, "late": True}


@pytest.fixture(scope="module", autouse=True)
def models():
    """The rough and the good model."""
    return build.ensure("rough", "good")


@pytest.fixture
def predictor():
    """A predictor behind a proxy, as ill as the test wants it."""
    ill = SimpleNamespace(status=200, seconds=0.0, content=FROM_PREDICTOR, headers={})

    def answer(asked):
        time.sleep(ill.seconds)
        return Answer(ill.content, ill.status, ill.headers)

    with fake_service(answer) as service:
        ill.url, ill.asked = service.url, service.asked
        yield ill


@pytest.fixture
def caller(models, predictor, monkeypatch):
    """The application, with all ports of its proxy leading to the one predictor."""
    environment = {
        "MODEL": str(models["rough"]),
        "DEADLINE": "0.15",
        "FAILURES": "2",
        "OPEN_SECONDS": "0.2",
    }
    for port in ("RETRYING", "LIMITED", "PLAIN", "BOUNDED", "GUARDED", "EJECTING"):
        environment[f"{port}_URL"] = predictor.url
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with TestClient(runpy.run_module(APP)["app"]) as client:
        yield client


def ask(caller, way):
    return caller.post(f"/predict/{way}", json=EXAMPLE)


def states(caller):
    return [(change["circuit"], change["state"]) for change in caller.get("/circuits").json()]


PROTECTED = ("limit/30", "bounded", "guarded", "replicas", "fallback", "breaker", "breaker/7")


@pytest.mark.alone
@pytest.mark.parametrize("way", ["unprotected", *PROTECTED])
def test_a_sound_predictor_answers(caller, way):
    """A fallback that answers although nothing is wrong, or that is not told apart."""
    answer = ask(caller, way)
    assert (answer.status_code, answer.json()) == (200, FROM_PREDICTOR)


@pytest.mark.parametrize("way", PROTECTED)
@pytest.mark.parametrize("status", [429, 503])
def test_refusals_and_failures_are_answered_by_the_rough_model(caller, predictor, way, status):
    """A refusal handed on to the user, or an answer of the fallback that looks like the model's."""
    predictor.status = status
    answer = ask(caller, way)
    assert answer.status_code == report.FALLBACK
    expected = predict_proba("rough", [EXAMPLE])[0]
    assert answer.json()["probability"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.alone
def test_a_late_predictor_is_not_waited_for(caller, predictor):
    """A deadline that does not hold."""
    predictor.seconds = 0.5
    assert ask(caller, "fallback").status_code == report.FALLBACK


def test_the_unprotected_caller_fails_with_its_predictor(caller, predictor):
    """A baseline that is protected after all."""
    predictor.status = 503
    assert ask(caller, "unprotected").status_code == 503


def test_the_limit_reaches_the_proxy(caller, predictor):
    """A sweep of limits that all are the same one."""
    ask(caller, "limit/30")
    assert [asked.headers["x-limit"] for asked in predictor.asked] == ["30"]


def test_the_deadline_reaches_the_proxy(caller, predictor):
    """A proxy that goes on where its caller has given up, or gives up before the last try."""
    ask(caller, "fallback"), ask(caller, "unprotected")
    names = ("x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-upstream-rq-timeout-ms")
    told = [[asked.headers[name] for name in names] for asked in predictor.asked]
    assert told == [["150", "150"], ["150", "600"]]


@pytest.mark.alone
def test_the_circuit_opens_and_does_not_ask(caller, predictor):
    """A breaker that never trips, trips too soon, or asks while it is open."""
    predictor.status = 503
    ask(caller, "breaker")
    assert states(caller) == []
    ask(caller, "breaker")
    assert states(caller) == [("2", "opened")]
    for _ in range(5):
        assert ask(caller, "breaker").status_code == report.FALLBACK
    assert len(predictor.asked) == 2
    assert 'circuit_open{circuit="2"} 1.0' in caller.get("/metrics").text


@pytest.mark.alone
def test_a_callers_own_mistake_does_not_open_the_circuit(caller, predictor):
    """One caller's malformed requests cut everybody off."""
    predictor.status = 422
    assert {ask(caller, "breaker").status_code for _ in range(5)} == {203}
    assert len(predictor.asked) == 5 and states(caller) == []
    predictor.status = 503
    assert {ask(caller, "breaker").status_code for _ in range(2)} == {203}
    assert states(caller) == [("2", "opened")]


@pytest.mark.alone
@pytest.mark.parametrize("headers", [{}, {"content-type": "application/json"}])
def test_an_answer_that_is_none_is_answered_by_the_rough_model(caller, predictor, headers):
    """A page of a proxy, or half a body, with status 200."""
    predictor.content, predictor.headers = b"<html>", headers
    assert ask(caller, "fallback").status_code == 203
    assert ask(caller, "unprotected").status_code == 503


@pytest.mark.alone
def test_a_success_begins_the_count_anew(caller, predictor):
    """Failures that are counted although they are not in a row."""
    for status in (503, 200, 503):
        predictor.status = status
        ask(caller, "breaker")
    assert states(caller) == []


@pytest.mark.alone
def test_half_open_closes_after_a_success_and_opens_after_a_failure(caller, predictor):
    """A circuit that stays open for ever, or closes although the predictor is still ill."""
    predictor.status = 503
    ask(caller, "breaker"), ask(caller, "breaker")
    time.sleep(0.25)
    ask(caller, "breaker")
    time.sleep(0.25)
    predictor.status = 200
    assert ask(caller, "breaker").status_code == 200
    told = [state for _, state in states(caller)]
    assert told == ["opened", "half-opened", "opened", "half-opened", "closed"]


def test_circuits_know_nothing_of_each_other(caller, predictor):
    """A sweep of thresholds through one circuit."""
    predictor.status = 503
    ask(caller, "breaker/1"), ask(caller, "breaker/3")
    assert states(caller) == [("1", "opened")]


@pytest.mark.parametrize("way", ["breaker/0", "breaker/many", "limit/0", "none"])
def test_ways_that_do_not_exist_are_refused(caller, way):
    """A threshold of nought, which a library may take for its default."""
    assert ask(caller, way).status_code in (404, 422)


def test_the_predictor_answers_as_web_single_does(models, monkeypatch):
    """A queue that changes the answer."""
    monkeypatch.setenv("MODEL", str(models["good"]))
    with TestClient(runpy.run_module(PREDICTOR)["app"]) as client:
        answer = client.post("/predict", json=EXAMPLE)
        assert client.post("/predict", json={}).status_code == 422
    expected = predict_proba("good", [EXAMPLE])[0]
    assert answer.json()["probability"] == pytest.approx(expected, abs=1e-5)


# --- the stack's files ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def envoy():
    path = compose_path("serving/prediction-circuit-break").with_name("envoy.yaml")
    return yaml.safe_load(path.read_text())["static_resources"]


def test_the_callers_ports_are_the_proxys(envoy):
    """A caller that believes it is protected and comes by another port."""
    path = compose_path("serving/prediction-circuit-break")
    stack = compose.read(path, {"LAB_MODELS": str(paths.models_dir())})
    ports = {
        listener["name"]: listener["address"]["socket_address"]["port_value"]
        for listener in envoy["listeners"]
    }
    for name, value in stack.service("caller").environment.items():
        if name.endswith("_URL"):
            assert value == f"http://proxy:{ports[name.removesuffix('_URL').lower()]}"


def test_the_proxy_heeds_the_deadline_of_its_caller(envoy):
    """A header that Envoy takes off, because to it the caller is a stranger: no deadline at all."""
    for listener in envoy["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        if listener["name"] != "network":
            assert manager["use_remote_address"] and manager["internal_address_config"]
