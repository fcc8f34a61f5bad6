"""Offline only: who is shown the candidate, what is written down, travellers."""

import importlib
import threading
from types import SimpleNamespace

import pandas as pd
import psycopg
import pytest
from starlette.testclient import TestClient

from lab_services.labs.qa.offline_only import lab
from tests.patterns.fake_service import Answer, fake_service

SAID = {
    "today": {"probability": 0.3, "late": True},
    "candidate": {"probability": 0.05, "late": False},
}


# --- the gate ------------------------------------------------------------------------------------


@pytest.fixture
def models():
    """What stands behind the gate: fails where a flight says so, and may be held up."""
    free = threading.Event()
    free.set()

    def answer(asked):
        model = asked.headers["x-model"]
        if model == "candidate":
            assert free.wait(10)
        if model in asked.json.get("fails", ()):
            return Answer(b"no", 503)
        return Answer(SAID[model])

    with fake_service(answer) as service:
        yield SimpleNamespace(url=f"{service.url}/predict", asked=service.asked, free=free)
        free.set()


@pytest.fixture
def log(postgres_server):
    """A connection to the log, which is empty."""
    with psycopg.connect(postgres_server, autocommit=True) as database:
        database.execute("DROP TABLE IF EXISTS answers, travellers")
        yield database


@pytest.fixture
def module(models, log, postgres_server, monkeypatch):
    """The gate's module, started anew."""
    monkeypatch.setenv("PREDICT_URL", models.url)
    monkeypatch.setenv("DATABASE_URL", postgres_server)
    return importlib.reload(importlib.import_module("lab_services.patterns.qa.offline_only.gate"))


@pytest.fixture
def gate(module):
    with TestClient(module.app) as client:
        yield client


def ask(client, user, **flight):
    return client.post("/predict", json=flight, headers={"x-user": user, "x-request-id": user})


def test_models_that_are_not_there_are_a_502(module, log, monkeypatch):
    """A crash of the gate because of what is behind it."""
    monkeypatch.setattr(module, "PREDICT_URL", "http://127.0.0.1:1/")
    with TestClient(module.app) as client:
        assert ask(client, "u1").status_code == 502
    written = log.execute("SELECT warned FROM answers").fetchall()
    assert written == [(None,)], "written when the gate stops, at the latest"


@pytest.mark.parametrize(
    "wrong", [{"test": "t", "share": 1.1, "shadow": False}, {"test": "", "share": 0}, {}]
)
def test_a_release_that_makes_no_sense_is_refused(gate, wrong):
    """110 % of the travellers."""
    assert gate.post("/release", json=wrong).status_code == 422


def test_a_traveller_without_a_name_is_refused(gate):
    """All nameless ones in one arm."""
    assert gate.post("/predict", json={}, headers={"x-request-id": "1"}).status_code == 422


def release(client, share, shadow=False, test="t"):
    wanted = {"test": test, "share": share, "shadow": shadow}
    assert client.post("/release", json=wanted).status_code == 200


def rows(log, number, shadow=False):
    return lab.logged(log, "t", number, shadow=shadow).set_index("request")


@pytest.mark.parametrize(("share", "model"), [(0, "today"), (1, "candidate")])
def test_a_release_reaches_everybody_and_is_taken_back(gate, log, share, model):
    """A way back that leaves somebody with the candidate; an answer that is in no log."""
    release(gate, share)
    for number in range(10):
        answer = ask(gate, f"u{number}")
        assert (answer.status_code, answer.json()) == (200, SAID[model])
    written = rows(log, 10)
    assert set(written["model"]) == {model}
    assert set(written["warned"]) == {SAID[model]["late"]}
    assert set(written["probability"]) == {SAID[model]["probability"]}
    assert (written["seconds"] > 0).all()


def test_half_of_the_travellers_are_half(gate, log):
    """An arm that is drawn anew for each request."""
    release(gate, 0.5)
    for _ in range(2):
        for number in range(40):
            ask(gate, f"u{number}")
    models_met = lab.logged(log, "t", 80).groupby("request")["model"].nunique()
    assert set(models_met) == {1}
    assert 8 < (rows(log, 80)["model"] == "candidate").sum() / 2 < 32


def test_nobody_waits_for_a_shadow(gate, models, log):
    """A traveller who waits for, or sees, an answer that is for the log alone."""
    release(gate, 0, shadow=True)
    models.free.clear()
    assert ask(gate, "u1").json() == SAID["today"], "while the candidate hangs"
    models.free.set()
    assert rows(log, 1).loc["u1", "model"] == "today"
    assert rows(log, 1, shadow=True).loc["u1", "model"] == "candidate"


def test_who_sees_the_candidate_is_not_shadowed(gate, models, log):
    """The candidate asked twice for the same traveller."""
    release(gate, 1, shadow=True)
    ask(gate, "u1")
    assert rows(log, 1).loc["u1", "model"] == "candidate"
    assert len(models.asked) == 1


def test_a_failure_is_a_row(gate, log):
    """A candidate that looks good because its failures are nowhere; one that fails people."""
    release(gate, 0, shadow=True)
    assert ask(gate, "u1", fails=["candidate"]).status_code == 200
    assert rows(log, 1, shadow=True).loc["u1", "warned"] is None
    assert ask(gate, "u2", fails=["today"]).status_code == 503
    assert rows(log, 2).loc["u2", "warned"] is None


def test_a_log_that_was_away_gets_every_answer(gate, log):
    """A restart of PostgreSQL, after which a gate never writes again."""
    release(gate, 0)
    ask(gate, "u1")
    assert len(rows(log, 1)) == 1
    log.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"""
    )
    ask(gate, "u2")
    assert len(rows(log, 2)) == 2
    assert gate.get("/ready").status_code == 200


# --- the log -------------------------------------------------------------------------------------


def test_the_log_tells_points_as_the_rules_do(gate, log):
    """A query of other rules than those of the travellers."""
    for better in lab.made_up(log).items():
        assert lab.per_model(log, better[0])["points"].idxmax() == better[1]
    lab.made_up(log)
    found = lab.per_model(log, "made-up-slow")
    assert found.loc["candidate"].to_dict() == {
        "travellers": 10,
        "warned": 1.0,
        "gone": 0.9,
        "points": 0.5,
    }, "and a second time changes nothing"


def test_travellers_are_written_down(gate, log):
    """Outcomes that cannot be joined."""
    table = pd.DataFrame({"request": ["u1", "u2"], "stayed": [True, False], "late": [False, True]})
    lab.tell(log, table)
    kept = log.execute("SELECT * FROM travellers ORDER BY request").fetchall()
    assert kept == [("u1", True, False), ("u2", False, True)]


def test_answers_that_do_not_come_are_not_waited_for(gate, log, monkeypatch):
    """A lab that waits for ever for a row that is lost, or ends because of it."""
    monkeypatch.setattr(lab, "_PATIENCE", 0.01)
    answers = lab.logged(log, "t", 3)
    assert answers.empty
    asked = pd.DataFrame(
        {"request": ["t-0", "t-1"], "intended": [1.0, 2.0], "latency": 0.0, "ok": [True, False]}
    )
    table = lab.behaved(asked, answers, [True, True])
    assert table["request"].tolist() == ["t-1"], "of whom the log should know is left out"
    assert table.loc[0, ["stayed", "warned", "points"]].tolist() == [False, False, 0]
