"""The caller against a predictor that the test makes ill, and what the lab reads off a run."""

import runpy
import time
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from starlette.testclient import TestClient

from lab_services import paths, report
from lab_services.labs.serving import prediction_circuit_break as lab
from lab_services.models import build
from lab_services.models.features import EXAMPLE
from lab_services.models.scoring import predict_proba
from lab_services.stack import compose
from lab_services.stack.catalogue import compose_path
from tests.patterns.fake_service import Answer, fake_service
from tests.recordings import ROWS, recorded

# Deadlines of a few hundred milliseconds.
pytestmark = pytest.mark.alone

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
    ill = SimpleNamespace(status=200, seconds=0.0)

    def answer(asked):
        time.sleep(ill.seconds)
        return Answer(FROM_PREDICTOR, ill.status)

    with fake_service(answer) as service:
        ill.url, ill.asked = service.url, service.asked
        yield ill


@pytest.fixture
def caller(models, predictor, monkeypatch):
    """The application, with all its doors leading to the one predictor."""
    environment = {
        "MODEL": str(models["rough"]),
        "DEADLINE": "0.15",
        "FAILURES": "2",
        "OPEN_SECONDS": "0.2",
    }
    for door in ("RETRYING", "LIMITED", "PLAIN", "GUARDED", "EJECTING"):
        environment[f"{door}_URL"] = predictor.url
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with TestClient(runpy.run_module(APP)["app"]) as client:
        yield client


def ask(caller, way):
    return caller.post(f"/predict/{way}", json=EXAMPLE)


def states(caller):
    return [(change["circuit"], change["state"]) for change in caller.get("/circuits").json()]


PROTECTED = ("limit/30", "envoy", "replicas", "fallback", "breaker", "breaker/7")


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


def test_a_success_begins_the_count_anew(caller, predictor):
    """Failures that are counted although they are not in a row."""
    for status in (503, 200, 503):
        predictor.status = status
        ask(caller, "breaker")
    assert states(caller) == []


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


def test_the_limits_of_the_lab_are_those_of_the_proxy(envoy):
    """A limit that the proxy does not know, and so lets everything through."""
    (limited,) = [each for each in envoy["listeners"] if each["name"] == "limited"]
    filters = limited["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    found = {}
    for descriptor in filters[0]["typed_config"]["descriptors"]:
        bucket = descriptor["token_bucket"]
        rate = bucket["tokens_per_fill"] / float(bucket["fill_interval"].removesuffix("s"))
        assert bucket["max_tokens"] == pytest.approx(0.2 * rate)  # as theory has it
        found[int(descriptor["entries"][0]["value"])] = pytest.approx(rate)
    assert found == {limit: limit for limit in lab.LIMITS}


def test_the_callers_doors_are_the_proxys(envoy):
    """A caller that believes it is protected and comes through another door."""
    path = compose_path("serving/prediction-circuit-break")
    stack = compose.read(path, {"LAB_MODELS": str(paths.models_dir())})
    ports = {
        listener["name"]: listener["address"]["socket_address"]["port_value"]
        for listener in envoy["listeners"]
    }
    for name, value in stack.service("caller").environment.items():
        if name.endswith("_URL"):
            door = name.removesuffix("_URL").lower()
            assert value == f"http://proxy:{ports[door]}"


# --- reading -------------------------------------------------------------------------------------


SLOW = SimpleNamespace(kind="delay", service="predictor", replica=None, start=0.9, end=2.6)


def test_times_to_trip_and_to_recover():
    """A slow answer of the fallback taken for a circuit that is open."""
    recording = recorded(ROWS)
    assert lab.time_to_trip(recording, SLOW, prompt=0.1).value == pytest.approx(0.6)
    assert lab.time_to_recover(recording, 2.6).value == pytest.approx(0.4)


def test_what_never_tripped_or_recovered_is_unknown():
    """A time that nobody has seen, or a table of the run that ends in a traceback."""
    never = recorded(ROWS[:2])
    trip = lab.time_to_trip(never, SLOW, prompt=0.1)
    assert not trip.known and "never answered at once" in trip.note
    recover = lab.time_to_recover(never, 2.6)
    assert not recover.known and "did not answer again" in recover.note


def test_the_next_opening_of_a_circuit():
    """The opening of another circuit, or one before the outage."""
    changes = [
        {"circuit": "5", "state": "opened", "at": 1.0},
        {"circuit": "8", "state": "opened", "at": 3.0},
        {"circuit": "5", "state": "half-opened", "at": 3.5},
        {"circuit": "5", "state": "opened", "at": 4.0},
    ]
    assert lab.opened_after(changes, "5", 2.0) == 2.0
    assert lab.opened_after(changes, "16", 2.0) == np.inf


def test_a_circuit_that_stays_closed_in_an_outage_has_no_time_to_open():
    """A mean over the outages in which it did open, or of none at all."""
    changes = [
        {"circuit": "5", "state": "opened", "at": 1.5},
        {"circuit": "5", "state": "opened", "at": 3.25},
    ]
    outages = [SimpleNamespace(**{**vars(SLOW), "start": start}) for start in (1.0, 3.0, 9.0)]
    found = lab.time_to_open(changes, "5", outages[:2])
    assert (found.value, found.low, found.high, found.n) == (0.375, 0.25, 0.5, 2)
    for seen in (outages, []):
        assert not lab.time_to_open(changes, "5", seen).known
    assert "in 1 of 3 outages" in lab.time_to_open(changes, "5", outages).note


def test_the_time_until_a_run_of_failures_against_chance():
    """A slip in the formula that the sweep of thresholds rests on."""
    random = np.random.default_rng(0)
    took, failed, count = [], 0, 0
    for draw in random.random(200_000) < 0.4:
        count, failed = count + 1, failed + 1 if draw else 0
        if failed == 3:
            took.append(count)
            count = failed = 0
    assert np.mean(took) == pytest.approx(lab.requests_until_run(3, 0.4), rel=0.03)
    for bad in ((0, 0.4), (3, 0.0), (3, 1.0)):
        with pytest.raises(ValueError, match="Runs need"):
            lab.requests_until_run(*bad)


def test_the_fallback_share_against_chance():
    """A cycle of the circuit that is counted wrongly."""
    random = np.random.default_rng(1)
    failures, errors, rate, open_seconds = 2, 0.3, 20.0, 0.5
    now, opens_until, half, in_row, fallback, count = 0.0, -1.0, False, 0, 0, 200_000
    for gap, fails in zip(
        random.exponential(1 / rate, count), random.random(count) < errors, strict=True
    ):
        now += gap
        if now < opens_until:
            fallback += 1
            continue
        fallback += fails
        in_row = in_row + 1 if fails else 0
        if fails and (half or in_row == failures):
            opens_until, half, in_row = now + open_seconds, True, 0
        elif half:
            half = False
    expected = lab.expected_fallback_share(failures, errors, rate, open_seconds)
    assert fallback / count == pytest.approx(expected, rel=0.03)


def test_the_fluid_model_of_the_limit():
    """A limit that is kept gives itself, one above the capacity falls off the cliff."""
    known = {"calm": 45, "offered": 270, "capacity": 90, "seconds": 1.2, "wait": 0.24}
    assert lab.expected_good(30, **known) == pytest.approx(30)
    assert 60 < lab.expected_good(60, **known) < 75
    assert lab.expected_good(400, **known) == lab.expected_good(300, **known)
    assert lab.expected_good(300, **known) < 30
    # Who takes as long as the deadline by itself is late even where nobody waits.
    assert lab.expected_good(30, **{**known, "wait": -0.1}) == 0
    assert lab.limit_below(99) == 90
    assert lab.limit_below(1) == lab.LIMITS[0]


def test_who_answered_is_told_apart():
    """A late answer that counts as the predictor's, or a failed one as the fallback's."""
    table = recorded(ROWS).table
    found = lab.who_answered(0.5)(table)
    timely = table["ok"] & (table["latency"] <= 0.5)
    assert (found[timely & (table["status"] == 203)] == "the fallback, in time").all()
    assert (found[timely & (table["status"] == 200)] == "the predictor, in time").all()
    assert (found[~timely] == "late or failed").all()
    assert set(found) == set(lab.SOURCES)


def test_the_states_are_those_of_one_circuit():
    """A strip that mixes the circuits of several thresholds."""
    changes = [
        {"circuit": "5", "state": "opened", "at": 1.2},
        {"circuit": "8", "state": "opened", "at": 1.3},
    ]
    assert lab.circuit_states(changes, "5") == [(1.2, "opened")]
