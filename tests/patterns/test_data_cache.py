"""The service of serving/data-cache: what it answers when all is well, and when it is not."""

from fastapi.testclient import TestClient

from lab_services.models.features import EXAMPLE
from lab_services.patterns.serving.data_cache.app import app


def test_a_predictor_that_is_away_is_said_so(monkeypatch):
    """A traceback, or a wait without end, where nobody answers."""
    monkeypatch.setenv("PREDICTOR_URL", "http://127.0.0.1:9")
    with TestClient(app) as client:
        answer = client.post("/predict", json=EXAMPLE)
    assert answer.status_code == 503
    assert "predictor" in answer.json()["detail"]
