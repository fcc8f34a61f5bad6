import numpy as np
import pytest

from lab_services.models import payloads, store
from lab_services.models.features import CODED, EXAMPLE, FEATURES, Codes, prepare, prepare_columns


@pytest.fixture(scope="module")
def codes():
    return Codes(**store.card("good")["codes"])


def test_a_served_flight_is_prepared_as_the_trained_ones_were(codes):
    """A preparation written twice drifts apart, and nothing fails but the predictions."""
    flights = [*payloads.flights(2000), {**EXAMPLE, "carrier": "ZZ", "destination": "XXX"}]
    columns = {name: np.array([flight[name] for flight in flights]) for name in FEATURES}
    one_by_one = np.concatenate([prepare([flight], codes) for flight in flights])
    trained = prepare_columns(columns, codes)
    assert one_by_one.dtype == trained.dtype == np.float32
    np.testing.assert_array_equal(one_by_one, trained)
    np.testing.assert_array_equal(prepare(flights, codes), trained)


def test_a_code_never_seen_gets_the_share_of_all(codes):
    """A new airline must not fail a request, nor look like the best or the worst one."""
    row = prepare([{**EXAMPLE, "carrier": "ZZ"}], codes)[0]
    assert row[FEATURES.index("carrier")] == np.float32(codes.overall)


def test_no_flights_make_no_rows(codes):
    assert prepare([], codes).shape == (0, len(FEATURES))


def test_a_missing_field_is_an_error_and_not_a_zero(codes):
    with pytest.raises(KeyError, match="rain"):
        prepare([{name: EXAMPLE[name] for name in FEATURES if name != "rain"}], codes)


def test_codes_are_late_shares_drawn_towards_the_overall_one():
    """Checked by hand on six flights: share 1/2, weight 2, so (lates + 1) / (flights + 2)."""
    columns = {
        "carrier": np.array(["A", "A", "A", "A", "B", "B"]),
        "origin": np.array(["X"] * 6),
        "destination": np.array(["Y", "Y", "Y", "Z", "Z", "Z"]),
    }
    late = np.array([True, True, True, False, False, False])
    codes = Codes.learn(columns, late, weight=2)
    assert codes.overall == 0.5
    assert codes.carrier == {"A": round(4 / 6, 6), "B": round(1 / 4, 6)}
    assert codes.origin == {"X": 0.5}
    assert codes.destination == {"Y": round(4 / 5, 6), "Z": round(1 / 5, 6)}
    assert set(CODED) == set(columns)
