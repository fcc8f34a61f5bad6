"""Where users stand in an experiment."""

import pytest

from lab_services.services.arms import place

USERS = [f"traveller-{number}" for number in range(5000)]


def test_a_user_stays_and_users_are_spread_evenly():
    """Half of the users at a share of a tenth; another place on another machine."""
    assert place("traveller-1", "test") == pytest.approx(0.0441689), "on every machine"
    below = sum(place(user, "test") < 0.1 for user in USERS)
    assert below / len(USERS) == pytest.approx(0.1, abs=0.015)


def test_two_salts_are_independent():
    """The same people in every experiment."""
    first = [user for user in USERS if place(user, "one") < 0.5]
    again = sum(place(user, "another") < 0.5 for user in first)
    assert again / len(first) == pytest.approx(0.5, abs=0.04)
