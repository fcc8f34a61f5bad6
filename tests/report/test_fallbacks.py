"""Shares of requests by who answered them, and how soon."""

import pytest

from lab_services import report
from tests.recordings import ROWS, recorded


def test_shares_by_who_answered():
    """Late or failed answers that count as good ones."""
    recording = recorded(ROWS)
    assert report.by_model(recording, 0.5).value == pytest.approx(2 / 6)
    assert report.by_fallback(recording, 1).value == pytest.approx(2 / 6)
    assert report.by_fallback(recording, 0.1).value == pytest.approx(1 / 6)
    assert report.by_anyone(recording, 0.5).value == pytest.approx(4 / 6)


def test_shares_of_requests_that_took_so_long():
    """A failed request that counts as a fast one, or a bound that belongs to both sides."""
    recording = recorded([(0, 0.01, 200), (1, 0.1, 200), (2, 0.2, 202), (3, 0.01, 503)])
    assert report.Answered(more_than=0.1)(recording).value == 0.25
    assert report.Answered(0.1)(recording).value == 0.5
    assert report.Answered(0.15, more_than=0.05)(recording).value == 0.25
    assert report.Answered(statuses=(202,))(recording).value == 0.25
    assert report.Answered(statuses=(200, 202))(recording).value == 0.75


def test_only_lateness_that_matters_to_the_deadline_is_noted():
    """A verdict on traffic that was not sent, and one that is withheld for milliseconds."""
    assert report.by_model(recorded(ROWS, late=0.02, note="late"), 0.5).note == ""
    assert report.by_model(recorded(ROWS, late=0.02, note="late"), 0.1).note == "late"
    assert report.by_anyone(recorded(ROWS, late=0.2, note="late"), 0.5).note == "late"
    assert report.Answered(more_than=0.1)(recorded(ROWS, late=0.006, note="late")).note == ""
    assert report.Answered(0.01)(recorded(ROWS, late=0.006, note="late")).note == "late"
