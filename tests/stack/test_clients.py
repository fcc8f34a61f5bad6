"""Numbers read off services, and clients of those that speak no HTTP."""

import math

from lab_services.stack import clients

TEXT = """
# HELP waiting x
process_cpu_seconds_total 1.25
waiting{way="guarded"} 7.0
waiting{way="waits"} 12.0
request_seconds_bucket{le="0.1",path="/a"} 7.0
request_seconds_count{path="/a"} 9.0
"""


def test_a_metric_is_that_of_its_labels():
    """The queue of another way; buckets taken for a count; none where a service tells nothing."""
    assert clients.metric(TEXT, "waiting", {"way": "waits"}) == 12
    assert clients.metric(TEXT, "waiting", {}) == 19
    assert clients.metric(TEXT, "process_cpu_seconds_total", {}) == 1.25
    assert clients.metric(TEXT, "request_seconds_count", {"path": "/a"}) == 9
    assert math.isnan(clients.metric(TEXT, "request_seconds_count", {"path": "/b"}))
    assert math.isnan(clients.metric("", "waiting", {}))


def test_histograms_of_envoy_are_no_counters():
    """A traceback at the entry that has no name."""
    told = [{"name": "cluster.a.upstream_rq_total", "value": 3}, {"histograms": {}}]
    assert clients.envoy_stats(told) == {"cluster.a.upstream_rq_total": 3}


def test_a_database_has_the_password_of_its_service():
    """A password that is written down a second time and differs."""
    url = clients.postgres_url("127.0.0.1:5000", {"POSTGRES_PASSWORD": "secret"})
    assert url == "postgresql://postgres:secret@127.0.0.1:5000/postgres"
