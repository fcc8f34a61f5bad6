"""One process with several models: what it answers and keeps; and the sums of the lab."""

import importlib
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from fastapi.testclient import TestClient

from lab_services.models import build, store
from lab_services.models.features import EXAMPLE, FEATURES
from lab_services.services.predictor import Model

APP = "lab_services.patterns.serving.all_in_one.app"


# --- the service ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def built():
    build.ensure()


@pytest.fixture
def service(monkeypatch):
    """Starts the service with these models and settings."""

    @contextmanager
    def start(models, **environment):
        good, rough = store.model_path("good"), store.model_path("rough")
        text = " ".join(f"{name}={rough if name == 'reasons' else good}" for name in models)
        settings = {"MODELS": text, "SAMPLES": "50", "OTHERS": "20", **environment}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        module = importlib.reload(importlib.import_module(APP))
        with TestClient(module.app) as client:
            yield SimpleNamespace(client=client, module=module)

    # The module reads its settings when it is imported.
    monkeypatch.setenv("MODELS", f"board={store.model_path('good')}")
    return start


def test_one_process_answers_for_all_its_models(service):
    """A model that moved in and cannot be asked."""
    with service(["board", "advice", "reasons", "fourth"]) as running:
        answers = {
            name: running.client.post(f"/{name}", json=EXAMPLE).json()
            for name in ("board", "advice", "reasons", "fourth")
        }
    assert answers["board"] == answers["fourth"]
    assert answers["advice"].keys() == {"probability", "late"}
    # The mean over samples around the forecast is near what the forecast itself gives.
    assert abs(answers["advice"]["probability"] - answers["board"]["probability"]) < 0.2
    assert tuple(answers["reasons"]) == FEATURES


def test_a_service_of_one_model_knows_no_other(service):
    """A service apart that still carries its neighbours."""
    with service(["board"]) as running:
        assert running.client.post("/board", json=EXAMPLE).status_code == 200
        assert running.client.post("/advice", json=EXAMPLE).status_code == 404


def test_what_is_no_flight_is_refused_by_each_model(service):
    """A model that is asked by another way than the others, and takes anything."""
    with service(["board", "reasons"]) as running:
        for name in ("board", "reasons"):
            answer = running.client.post(f"/{name}", json={**EXAMPLE, "wind": -1})
            assert answer.status_code == 422, name
            assert "wind" in answer.text


def test_a_field_that_all_flights_share_moves_nothing(service):
    """An explanation that compares with the wrong column."""
    with service(["board"]) as running:
        model = Model(str(store.model_path("rough")))
        model.load()
        others = np.repeat(model.prepare([EXAMPLE]), 7, axis=0)
        rows, moves = running.module.explain(model, EXAMPLE, others)
        assert rows.shape == (len(FEATURES), 7, len(FEATURES))
        assert all(move == pytest.approx(0, abs=1e-5) for move in moves.values())
        wind = FEATURES.index("wind")
        others[:, wind] += 40
        rows, moves = running.module.explain(model, EXAMPLE, others)
    assert {name for name, move in moves.items() if abs(move) > 1e-5} == {"wind"}
    assert (rows[wind, :, wind] > rows[0, :, wind]).all()
