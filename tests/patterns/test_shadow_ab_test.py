"""The shadow test: whose answer users get, what becomes of copies, what is noted, the theory."""

import importlib
import threading
import time
from types import SimpleNamespace

import psycopg
import pytest
import yaml
from starlette.testclient import TestClient

from lab_services.errors import LabError
from lab_services.labs.qa import shadow_ab_test as lab
from lab_services.models import build
from lab_services.models.features import EXAMPLE
from lab_services.patterns.qa.shadow_ab_test import notes as noting
from lab_services.patterns.qa.shadow_ab_test.notes import Note, Notes
from lab_services.services.service import Service
from lab_services.stack import compose, envoy
from lab_services.stack.catalogue import compose_path
from tests.patterns.fake_service import Answer, fake_service

PATTERN = "lab_services.patterns.qa.shadow_ab_test"
PRODUCTION, CANDIDATE = b'{"late":true}', b'{"late":false}'


def module(name, monkeypatch, **environment):
    """A service's module, started anew with this environment."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    return importlib.reload(importlib.import_module(f"{PATTERN}.{name}"))


def wait_for(true, seconds=5.0):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


# --- front: shadow in code ------------------------------------------------------------------------


@pytest.fixture
def front(monkeypatch):
    """The application, with a production that is well and a candidate that the test scripts."""
    own = SimpleNamespace(status=200, free=threading.Event())
    own.free.set()

    def of_candidate(asked):
        own.free.wait(5)
        return Answer(CANDIDATE, own.status)

    with (
        fake_service(lambda asked: Answer(PRODUCTION)) as own.production,
        fake_service(of_candidate) as own.candidate,
    ):
        own.module = module(
            "front",
            monkeypatch,
            PRODUCTION_URL=own.production.url,
            CANDIDATE_URL=own.candidate.url,
            COPIES="2",
            PATIENCE="0.6",
        )
        with TestClient(own.module.app) as own.client:
            yield own
        own.free.set()


def ask(front, way, number=1):
    headers = {"x-request-id": f"r-{number}"}
    return front.client.post(f"/{way}/predict", json=EXAMPLE, headers=headers)


def told(front, name, outcome):
    return front.module.app.registry.get_sample_value(f"{name}_total", {"outcome": outcome}) or 0


@pytest.mark.parametrize("way", ["alone", "naive", "guarded"])
def test_the_user_gets_what_production_says(front, way):
    """A candidate's answer that reaches a user."""
    answer = ask(front, way)
    assert (answer.status_code, answer.content) == (200, PRODUCTION)
    if way == "alone":
        assert not front.candidate.asked
        return
    wait_for(lambda: front.candidate.asked)
    (copy,) = front.candidate.asked
    (original,) = front.production.asked
    assert copy.body == original.body
    assert copy.headers["x-request-id"] == original.headers["x-request-id"] == "r-1"
    assert copy.path == ("/unmarked/predict" if way == "naive" else "/predict")


@pytest.mark.alone
def test_a_candidate_that_throws_fails_users_of_the_naive_way_only(front):
    """A guarded shadow that passes on an error; a naive one that would be harmless."""
    front.status = 503
    assert ask(front, "naive").status_code == 502
    assert ask(front, "guarded").status_code == 200
    wait_for(lambda: told(front, "copies", "refused") == 1)


def test_a_candidate_that_is_not_there(front):
    """An error of a task that ends the application, or is never counted."""
    front.candidate.stop()
    assert ask(front, "naive").status_code == 502
    assert ask(front, "guarded").status_code == 200
    wait_for(lambda: told(front, "copies", "failed") == 1)


@pytest.mark.alone
def test_a_candidate_that_hangs_is_not_waited_for(front):
    """A copy that its user awaits; copies without limit; copies that stay for ever."""
    front.free.clear()
    assert [ask(front, "guarded", n).status_code for n in range(5)] == [200] * 5
    assert told(front, "copies", "failed") == 0, "no copy has ended when its user has the answer"
    assert told(front, "copies", "dropped") == 3
    wait_for(lambda: told(front, "copies", "failed") == 2)
    assert not front.module.copies


def test_naive_pairs_are_compared(front):
    """A comparison that finds everything the same."""
    ask(front, "naive")
    assert told(front, "compared", "different") == 1
    assert told(front, "compared", "same") == 0


def test_without_an_id_nothing_is_asked(front):
    """A request that nobody can join to its copy."""
    assert front.client.post("/guarded/predict", json=EXAMPLE).status_code == 422
    assert ask(front, "unknown").status_code == 422
    assert not front.production.asked


def test_production_that_fails_is_passed_on(front):
    """A shadow that hides a failure of production."""
    front.production.stop()
    for way in ("alone", "guarded"):
        assert ask(front, way).status_code == 502


# --- notes ----------------------------------------------------------------------------------------


@pytest.fixture
def log(postgres_server):
    """The log, empty."""
    with psycopg.connect(postgres_server, autocommit=True) as database:
        database.execute("DROP TABLE IF EXISTS answers, notices")
        database.execute(noting.SCHEMA)
    log = lab.Log(postgres_server)
    yield log
    log.close()


def note(request, model="production", probability=0.5, late=True):
    return Note(request, model, probability, late, 0.001)


def write(url, *added):
    """Notes written when a service ends, at the latest, each with its notice or without."""
    notes = Notes(url)
    for one, notice in added:
        notes.add(one, notice=notice)
    with TestClient(Service("notes", lifespan=notes.writing)):
        pass
    assert not len(notes.waiting)


def test_the_join_keeps_what_the_candidate_has_not_answered(postgres_server, log):
    """An inner join; the rows of another experiment whose name begins alike."""
    write(
        postgres_server,
        (note("mine-mirrored-0"), True),
        (note("mine-mirrored-1"), False),
        (note("mine-mirrored-1", "candidate", 0.1, False), False),
        (note("mine2-mirrored-0"), False),
        (note("mine-mirrored-7", "candidate"), False),  # production has not answered this one
    )
    table = log.joined("mine")
    assert table["place"].tolist() == [0, 1]
    assert table["answered"].tolist() == [False, True]
    assert lab.answered(table).value == 0.5
    assert lab.agreement(table).value == 0.0


def test_of_an_experiment_without_a_note_nothing_is_known(postgres_server, log):
    """A traceback where the log was too slow, or numbers made of nothing."""
    write(postgres_server, (note("mine-mirrored-0"), True))
    flights = [{"carrier": "AA"}, {"carrier": "9E"}]
    table = lab.with_flights(log.joined("another", patience=0), flights, [True, False])
    assert table.empty
    assert table[table["carrier"].str[0].str.isdigit()].empty
    assert lab.disagreements(table, 5).empty
    costs = lab.costs(table, missed=4)
    paired, split = lab.saved_paired(costs, ""), lab.saved_split(costs, "")
    for found in (
        *(lab.agreement(table), lab.answered(table), lab.first_silent(table)),
        *(paired, split, lab.narrower(costs)),
    ):
        assert not found.known
        assert found.note


def test_notes_are_waited_for_until_there_are_some(postgres_server, log):
    """A log that is read before the first note of a slow machine has come."""
    late = threading.Timer(1.0, write, [postgres_server, (note("slow-mirrored-0"), True)])
    late.start()
    assert len(log.joined("slow", patience=30)) == 1
    late.join()


def test_a_note_that_comes_twice_is_one_and_notices_are_counted(postgres_server, log):
    """An answer counted twice; a traveller told twice who is not counted."""
    write(postgres_server, (note("n-naive-0"), True), (note("n-naive-0", "candidate"), True))
    write(postgres_server, (note("n-naive-0"), False), (note("n-naive-1"), True))
    assert len(log.joined("n")) == 2
    assert (log.told_twice("n"), log.notices("n", "candidate")) == (1, 1)
    assert log.notices("other", "candidate") == 0


def test_all_notes_of_a_batch_are_written_or_none(postgres_server, log):
    """Answers that are written while their notices are not, and are noted a second time."""
    notes = Notes(postgres_server)
    notes.add(note("all-x-0"), notice=False)
    notes.add(note("all-x-1\0"), notice=True)  # PostgreSQL has no zero byte in a text
    with (
        pytest.raises(psycopg.DataError),
        TestClient(Service("notes", lifespan=notes.writing)),
    ):
        pass
    assert len(notes.waiting) == 2
    assert log.joined("all", patience=0).empty


# --- predictor ------------------------------------------------------------------------------------


@pytest.fixture
def predictor(postgres_server, log, monkeypatch):
    """The candidate with its fault, noting in a real log."""
    made = module(
        "predictor",
        monkeypatch,
        NAME="candidate",
        CARRIER="[A-Z][0-9A-Z]",
        LATE_ABOVE="0",  # every flight is late
        MODEL=str(build.ensure("rough")["rough"]),
        DATABASE_URL=postgres_server,
    )
    with TestClient(made.app) as client:
        yield client


def predict(client, request, carrier="AA", **headers):
    sent = {"x-request-id": request, **headers}
    return client.post("/predict", json={**EXAMPLE, "carrier": carrier}, headers=sent)


def test_it_notes_what_it_answers_and_tells_travellers(predictor, postgres_server, log):
    """An answer that no note tells of; a copy that sends a notice."""
    assert predict(predictor, "p-x-0").json()["late"]
    assert predict(predictor, "p-x-1", **{"x-shadow": "yes"}).json()["late"]
    with psycopg.connect(postgres_server) as database:
        query = "SELECT request, probability, seconds FROM answers ORDER BY request"
        wait_for(lambda: len(database.execute(query).fetchall()) == 2)
        rows = database.execute(query).fetchall()
        told = database.execute("SELECT request, model FROM notices").fetchall()
    assert [row[0] for row in rows] == ["p-x-0", "p-x-1"]
    assert all(0 < row[1] < 1 and row[2] > 0 for row in rows)
    assert told == [("p-x-0", "candidate")]


def test_the_planted_fault(predictor):
    """A fault that is not there: the lab would find nothing."""
    assert predict(predictor, "f-x-0", carrier="9E").status_code == 422
    for carrier in ("DL", "B6"):
        assert predict(predictor, "f-x-1", carrier=carrier).status_code == 200
    assert predict(predictor, "", carrier="DL").status_code == 422


# --- the proxy's configuration --------------------------------------------------------------------


def test_copies_go_where_the_lab_can_fail_them():
    """A fault filter that mirrored requests never meet; a mark that a user's request carries."""
    file = compose_path("qa/shadow-ab-test")
    topology = compose.read(file, {"LAB_MODELS": "/models"})
    proxy = topology.service("proxy")
    config = envoy.read_config(proxy)
    assert {c.service for c in envoy.clusters(config, topology)} == {"production", "candidate"}
    listeners = {each["name"]: each for each in config["static_resources"]["listeners"]}
    door = listeners["candidate"]["address"]["socket_address"]["port_value"]
    clusters = {each["name"]: each for each in config["static_resources"]["clusters"]}
    (address,) = envoy._socket_addresses(clusters["copies"]["load_assignment"])
    assert (address["address"], address["port_value"]) == ("127.0.0.1", door)
    assert door in [port.container for port in proxy.ports]
    assert "envoy.filters.http.fault" not in yaml.safe_dump(listeners["users"])
    assert "x-shadow" not in yaml.safe_dump(listeners["users"])
    assert "fault.candidate.delay_percent" in yaml.safe_dump(listeners["candidate"])
    # As a plain process the door has another port, and copies must find it.
    moved = envoy.for_processes(config, topology, {8080: 1, 8081: 2, 9901: 3}, file.parent)
    copies = next(c for c in moved["static_resources"]["clusters"] if c["name"] == "copies")
    (address,) = envoy._socket_addresses(copies["load_assignment"])
    assert address["port_value"] == 2


def test_settings_that_make_no_sense(monkeypatch):
    """A front that lets no copy through, and nobody knows why."""
    urls = {"PRODUCTION_URL": "http://127.0.0.1:1", "CANDIDATE_URL": "http://127.0.0.1:1"}
    with pytest.raises(LabError, match="COPIES"):
        module("front", monkeypatch, **urls, COPIES="0")
