"""Helpers of the lab `serving/prediction-circuit-break`: what it reads off, and the theory."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from lab_services.labs.serving import prediction_circuit_break as lab
from lab_services.stack.catalogue import compose_path
from tests.recordings import ROWS, recorded

# --- the stack's files ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def envoy():
    path = compose_path("serving/prediction-circuit-break").with_name("envoy.yaml")
    return yaml.safe_load(path.read_text())["static_resources"]


def test_what_the_lab_knows_of_the_proxy_is_so(envoy):
    """A limit that the proxy does not know, and so lets everything through; a theory of another
    bucket."""
    listeners = {each["name"]: each["filter_chains"][0] for each in envoy["listeners"]}
    limiter = listeners["limited"]["filters"][0]["typed_config"]["http_filters"][0]
    found = {}
    for descriptor in limiter["typed_config"]["descriptors"]:
        bucket = descriptor["token_bucket"]
        assert (bucket["max_tokens"], bucket["fill_interval"]) == (lab.BUCKET, "1s")
        found[int(descriptor["entries"][0]["value"])] = bucket["tokens_per_fill"]
    assert found == {limit: limit for limit in lab.LIMITS}
    routes = listeners["retrying"]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    assert routes[0]["routes"][0]["route"]["retry_policy"]["num_retries"] == lab.TRIES - 1
    clusters = {each["name"]: each for each in envoy["clusters"]}
    (threshold,) = clusters["bounded"]["circuit_breakers"]["thresholds"]
    assert threshold == {"max_requests": lab.IN_FLIGHT}


# --- reading -------------------------------------------------------------------------------------


SLOW = SimpleNamespace(kind="delay", service="predictor", replica=None, start=0.9, end=2.6)


def test_times_to_trip_and_to_recover():
    """A slow answer of the fallback taken for a circuit that is open; the mean of one round."""
    recording = recorded(ROWS)
    later = SimpleNamespace(**{**vars(SLOW), "start": 1.1})
    found = lab.time_to_trip(recording, [SLOW, later], prompt=0.1)
    assert (found.value, found.n) == (pytest.approx(0.5), 2)
    found = lab.time_to_recover(recording, [2.6, 2.8])
    assert (found.value, found.n) == (pytest.approx(0.3), 2)


def test_what_never_tripped_or_recovered_is_unknown():
    """A time that nobody has seen, or a table of the run that ends in a traceback."""
    trip = lab.time_to_trip(recorded(ROWS), [SLOW, outage(2.55, 2.6)], prompt=0.1)
    assert not trip.known and "never answered at once" in trip.note
    recover = lab.time_to_recover(recorded(ROWS), [2.6, 9.0])
    assert not recover.known and "did not answer again" in recover.note


def test_parts_are_told_by_their_label():
    """Requests of another part; an error where a part has none."""
    table = recorded(ROWS).table.assign(part=["before", "burst", "burst", "after", "end", "end"])
    recording = replace(recorded(ROWS), table=table)
    assert lab.during(recording, "burst", "end").table["intended"].tolist() == [1, 1.5, 2.5, 3]
    assert not len(lab.during(recording, "calm"))


def test_rounds_are_labelled():
    """Requests of two rounds taken for one, or what lies between the rounds for part of one."""
    recording = recorded(ROWS)
    times = recording.table["intended"]
    parts = lab.in_rounds(recording, [(times[0], times[2]), (times[3], times[5])])
    assert parts.table["round"].tolist() == [0, 0, 1, 1]
    assert parts.table["intended"].tolist() == times[[0, 1, 3, 4]].tolist()


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
    """A mean over the outages in which it did open, of none at all, or without its spread."""
    changes = [
        {"circuit": "5", "state": "opened", "at": 1.5},
        {"circuit": "5", "state": "opened", "at": 3.25},
    ]
    outages = [SimpleNamespace(**{**vars(SLOW), "start": start}) for start in (1.0, 3.0, 9.0)]
    found = lab.time_to_open(changes, "5", outages[:2])
    assert (found.value, found.n) == (0.375, 2)
    assert found.low == 0 < 0.5 < found.high
    for seen in (outages, []):
        assert not lab.time_to_open(changes, "5", seen).known
    assert "in 1 of 3 outages" in lab.time_to_open(changes, "5", outages).note


def outage(start, end):
    return SimpleNamespace(**{**vars(SLOW), "start": start, "end": end})


def change(circuit, state, at):
    return {"circuit": circuit, "state": state, "at": at}


def test_the_pace_of_failures_holds_the_true_one():
    """An interval of the time to open that is too narrow for how few failures it comes from."""
    random, held, trials, rate = np.random.default_rng(2), 0, 300, 20.0
    for _ in range(trials):
        took = {k: random.exponential(1 / rate, k).sum() for k in (1, 2, 4)}
        changes = [change(str(k), "opened", 1 + seconds) for k, seconds in took.items()]
        found = lab.seconds_per_failure(changes, took, [outage(1.0, 9.0)])
        assert found.value == pytest.approx(sum(took.values()) / 7)
        held += found.low <= 1 / rate <= found.high
    assert 0.91 < held / trials < 0.99
    assert not lab.seconds_per_failure(changes, [1, 8], [outage(1.0, 9.0)]).known
    assert not lab.seconds_per_failure(changes, [1], []).known


def test_the_time_to_close_is_of_circuits_that_were_open():
    """A circuit that never opened, or one that nobody has seen close, as one that closed."""
    changes = [
        change("1", "opened", 1.1),
        change("2", "opened", 1.2),
        change("1", "closed", 2.2),
        change("2", "closed", 2.4),
        change("8", "closed", 2.3),
    ]
    found = lab.time_to_close(changes, [1, 2, 8], [outage(1.0, 2.0)])
    assert (found.value, found.n) == (pytest.approx(0.3), 2)
    assert not lab.time_to_close(changes[:3], [1, 2], [outage(1.0, 2.0)]).known
    assert not lab.time_to_close(changes, [1, 2], [outage(1.0, None)]).known


def test_attempts_are_set_against_the_requests_of_their_time():
    """Attempts of one time over the requests of another, or a division by no request."""
    table = recorded(ROWS).table.iloc[:3].assign(intended=[1.5, 2.2, 2.7])
    first, second = ((1.0, 10), (2.0, 13)), ((2.1, 20), (3.0, 28))
    found = lab.attempts_per_request([first, second], table)
    assert (found.value, found.n) == ((3 / 1 + 8 / 2) / 2, 2)
    for readings in ([], [first, ((2.0, 13), (2.1, 14))]):
        assert not lab.attempts_per_request(readings, table).known


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
    """A limit that is kept gives itself and its bucket, one above the capacity falls off."""
    known = {"calm": 45, "offered": 270, "capacity": 90, "seconds": 1.2, "wait": 0.24}
    assert lab.expected_good(30, **known) == pytest.approx(30)
    assert lab.expected_good(60, **known) == pytest.approx(60 + lab.BUCKET / 1.2)
    assert lab.expected_good(400, **known) == lab.expected_good(300, **known)
    assert lab.expected_good(300, **known) < 30
    # Who takes as long as the deadline by itself is late even where nobody waits.
    assert lab.expected_good(30, **{**known, "wait": -0.1}) == 0
    assert lab.limit_below(99) == 92
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
