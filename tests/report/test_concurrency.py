"""Requests inside a service, counted from a recording."""

from lab_services import report


def test_requests_in_flight_are_counted_in_any_order(record):
    """A backlog that looks smaller because newer requests were answered first."""
    moments = [-1, 0.05, 0.25, 0.34, 0.5, 1.2]  # sent every 0.1 s
    for latency in ([1.05, 0.95, 0.85, 0.05], [0.35, 0.85, 0.85, 0.75]):
        inside = report.in_flight(record(latency, rate=10, begin=0.0), moments)
        assert inside.tolist() == [0, 1, 3, 4, 3, 0]


def test_how_many_wait_at_the_worst_moment(record):
    """Little's law read off wrongly: those who have left still counted."""
    of = record([2.5, 2.5, 2.5, 1.0, 1.0], rate=1)
    assert report.most_in_flight(of) == 3
    assert report.most_in_flight(record([])) is None
