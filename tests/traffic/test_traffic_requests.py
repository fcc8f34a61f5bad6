"""Requests: checked and put into bytes before any clock runs."""

import json

import pytest

from lab_services import traffic
from lab_services.errors import LabError

URL = "http://127.0.0.1:8000/predict"


def test_a_request_is_whole_on_the_wire():
    """A wrong length or host would make every server answer 400."""
    request = traffic.Request(f"{URL}?a=1", json={"name": "Zürich"}, headers={"X-Key": "k"})
    head, _, body = request.message.data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /predict?a=1 HTTP/1.1"
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert fields["Host"] == "127.0.0.1:8000"
    assert fields["Content-Type"] == "application/json"
    assert fields["X-Key"] == "k"
    assert int(fields["Content-Length"]) == len(body)
    assert json.loads(body) == {"name": "Zürich"}


def test_a_get_has_no_body():
    data = traffic.Request(URL, method="GET").message.data
    assert data.startswith(b"GET /predict HTTP/1.1\r\n")
    assert data.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in data


def test_streams_alternate():
    """A B A B: a comparison in which all of A came first would compare two times of day."""
    one = traffic.requests(URL, [{"n": n} for n in range(3)], variant="a")
    two = traffic.requests(URL, [{"n": 0}], variant="b")
    mixed = traffic.interleave(one, two)
    assert [request.labels["variant"] for request in mixed] == ["a", "b"] * 3
    assert [request.json["n"] for request in mixed[::2]] == [0, 1, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda: traffic.Request("predict"),
        lambda: traffic.Request("http:///predict"),
        lambda: traffic.Request("https://127.0.0.1/predict"),
        lambda: traffic.Request("http://127.0.0.1:port/"),
        lambda: traffic.Request("http://127.0.0.1/a path"),
        lambda: traffic.Request(URL, method="GE T"),
        lambda: traffic.Request(URL, headers={"X": "a\r\nInjected: b"}),
        lambda: traffic.Request(URL, headers={"X Y": "a"}),
        lambda: traffic.Request(URL, json={"when": object()}),
        lambda: traffic.Request(URL, json={"delay": float("nan")}),
        lambda: traffic.Request(URL, labels={"latency": 1}),
        lambda: traffic.Request(URL, labels={"variant": ["a"]}),
        lambda: traffic.requests(URL, []),
        lambda: traffic.interleave(),
        lambda: traffic.interleave(traffic.requests(URL, [{}]), []),
    ],
)
def test_nonsense_is_refused_with_a_hint(make):
    with pytest.raises(LabError) as caught:
        make()
    assert caught.value.hint
