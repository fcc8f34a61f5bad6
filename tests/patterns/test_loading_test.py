"""The predictor under test, the arithmetic of a load test, the gate, and Locust's own processes."""

import runpy

import pytest
from starlette.testclient import TestClient

from lab_services.models import build
from lab_services.models.features import EXAMPLE, FEATURES

APP = "lab_services.patterns.qa.loading_test.app"


# --- the service --------------------------------------------------------------------------------


@pytest.fixture
def loaded(monkeypatch):
    """The application's names and a client of it, with few samples."""
    settings = {"SAMPLES": "20", "NEXT_WEATHERS": "26", "KEPT_ROWS": "50"}
    for name, value in (settings | {"MODEL": str(build.ensure("good")["good"])}).items():
        monkeypatch.setenv(name, value)
    names = runpy.run_module(APP)
    with TestClient(names["app"]) as client:
        yield names, client


@pytest.mark.parametrize("path", ["/predict/board", "/next/board", "/kept/board"])
def test_a_board_gets_a_forecast_for_each_flight(loaded, path):
    """A door that answers for one flight of many, or takes an empty board for an answer."""
    _, client = loaded
    answer = client.post(path, json=[EXAMPLE] * 3)
    assert answer.status_code == 200 and len(answer.json()) == 3
    assert client.post(path, json=[]).status_code == 422


def test_the_next_version_says_nearly_the_same(loaded):
    """A gate that compares two models where it should compare two amounts of work."""
    _, client = loaded
    now, then = (
        client.post(path, json=[EXAMPLE]).json()[0]["probability"]
        for path in ("/predict/board", "/next/board")
    )
    assert now == pytest.approx(then, abs=0.1)


def test_the_quick_door_takes_one_flight(loaded):
    """A flood of requests that are refused, which would be quick too."""
    _, client = loaded
    assert 0 <= client.post("/predict/quick", json=EXAMPLE).json()["probability"] <= 1


def test_only_the_faulty_door_keeps_questions(loaded):
    """A leak that is not there, or one that the other doors have as well."""
    names, client = loaded
    client.post("/predict/board", json=[EXAMPLE])
    client.post("/next/board", json=[EXAMPLE])
    assert not names["remembered"]
    for flights in ([EXAMPLE], [EXAMPLE], [EXAMPLE] * 2):
        client.post("/kept/board", json=flights)
    assert [rows.nbytes for rows in names["remembered"].values()] == [50 * len(FEATURES) * 4] * 2
