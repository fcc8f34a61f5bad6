"""Where users stand in an experiment."""

import pytest

from lab_services.services.bucketing import bucket

USERS = [f"traveller-{number}" for number in range(5000)]


def test_a_user_stays_and_users_are_spread_evenly():
    """Half of the users at a share of a tenth; another place on another machine."""
    assert bucket("traveller-1", "test") == pytest.approx(0.0441689), "on every machine"
    below = sum(bucket(user, "test") < 0.1 for user in USERS)
    assert below / len(USERS) == pytest.approx(0.1, abs=0.015)


def test_two_salts_are_independent():
    """The same people in every experiment."""
    first = [user for user in USERS if bucket(user, "one") < 0.5]
    again = sum(bucket(user, "another") < 0.5 for user in first)
    assert again / len(first) == pytest.approx(0.5, abs=0.04)
