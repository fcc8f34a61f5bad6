"""Offline only: who is shown the candidate, what is written down, travellers, candidates."""

import importlib
import threading
from types import SimpleNamespace

import psycopg
import pytest
from starlette.testclient import TestClient

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
