import numpy as np
import onnxruntime
import pytest
from pydantic import TypeAdapter
from sklearn.metrics import roc_auc_score

from lab_services.errors import LabError
from lab_services.models import features, payloads, store


def test_every_payload_is_one_that_a_service_accepts():
    """Traffic that is refused measures the refusal."""
    accepts = TypeAdapter(list[features.Flight])
    every = payloads.flights(store.card_of(store.payloads_path())["rows"])
    assert accepts.validate_python(every) == every


def test_the_same_seed_gives_the_same_flights():
    assert payloads.flights(50, seed=3) == payloads.flights(50, seed=3)
    assert payloads.flights(50, seed=3) != payloads.flights(50, seed=4)


def test_outcomes_belong_to_the_flights():
    """Outcomes in another order score every model at an AUC of one half."""
    card = store.card("good")
    session = onnxruntime.InferenceSession(store.model_path("good"))
    rows = features.prepare(payloads.flights(20_000), features.Codes(**card["codes"]))
    predicted = session.run(["probabilities"], {"flights": rows})[0][:, 1]
    assert roc_auc_score(payloads.outcomes(20_000), predicted) == pytest.approx(
        card["metrics"]["auc"], abs=0.02
    )


def test_months_are_chosen():
    late = {month: np.mean(payloads.outcomes(5000, months=[month])) for month in (11, 12)}
    assert late[12] > 1.5 * late[11], "December of 2013 was far worse than November"


def test_more_than_there_are_is_refused():
    with pytest.raises(LabError, match=r"1,000,000 flights .* are asked for"):
        payloads.flights(1_000_000)


def test_a_month_that_the_models_saw_has_none():
    with pytest.raises(LabError, match="there are 0"):
        payloads.flights(1, months=[3])
