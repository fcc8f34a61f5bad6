"""What a model says, asked without a service."""

import numpy as np
import pytest

from lab_services.models import features, payloads, scoring, store


def test_chances_are_those_of_the_service(models, monkeypatch):
    """Another model's codes, or the chance to be punctual."""
    from lab_services.services.predictor import Model

    flights = payloads.flights(5)
    monkeypatch.setenv("MODEL", str(store.model_path("good")))
    served = Model()
    served.load()
    said = scoring.predict_proba("good", flights)
    np.testing.assert_allclose(said, served.predict(served.prepare(flights)), atol=1e-6)
    assert said.dtype == np.float64
    assert not np.allclose(said, scoring.predict_proba("rough", flights))


def test_a_file_and_its_bytes_say_the_same(models):
    """A model just trained that has to be written first."""
    path = store.model_path("rough")
    rows = features.prepare(payloads.flights(3), features.Codes(**store.card("rough")["codes"]))
    of_file, of_bytes = scoring.scorer(path)(rows), scoring.scorer(path.read_bytes())(rows)
    assert of_file.shape == (3,)
    np.testing.assert_array_equal(of_file, of_bytes)


def test_a_model_that_is_not_there_is_named():
    """A traceback of onnxruntime for a misspelt name."""
    with pytest.raises(store.ModelMissing, match="god"):
        scoring.predict_proba("god", [features.EXAMPLE])
