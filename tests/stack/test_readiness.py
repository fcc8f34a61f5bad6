"""What a lab asks the services of a stack."""

import pytest

from lab_services.errors import LabError
from lab_services.stack import Stack
from lab_services.stack.compose import Probe
from lab_services.stack.readiness import answers
from tests.patterns.fake_service import Answer, fake_service
from tests.stack.conftest import ECHO

ANSWERS = {
    "/calls?after=3": Answer([{"request": 4}]),
    "/metrics": Answer(b"waiting 7.0\n"),
    "/partly": Answer({"probability": 0.4}, status=203),
    "/gone": Answer(b"there was something", status=404),
    "/ill": Answer(b"upstream is away", status=503),
}


@pytest.fixture
def service():
    with fake_service(lambda asked: ANSWERS[asked.path]) as service:
        yield service


@pytest.fixture
def stack(service, monkeypatch):
    """A stack that is not up, and whose one service is the stand-in."""
    stack = Stack(ECHO, runtime="process")
    ports = {None: service.url, 9901: f"{service.url}/admin"}
    monkeypatch.setattr(
        stack, "url", lambda name, path, port=None, replica=1: f"{ports[port]}{path}"
    )
    return stack


def test_answers_are_read(stack):
    """An answer without its body, or one of 2xx that counts as a failure."""
    assert stack.json("front", "/calls?after=3") == [{"request": 4}]
    assert stack.json("front", "/partly") == {"probability": 0.4}
    assert stack.text("front", "/metrics") == "waiting 7.0\n"


def test_a_port_reaches_the_address(stack, monkeypatch):
    """The proxy's own numbers asked of the service behind it."""
    monkeypatch.setitem(ANSWERS, "/admin/stats", Answer({"stats": []}))
    assert stack.json("proxy", "/stats", port=9901) == {"stats": []}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/gone", "front answers /gone with the status 404: there was something"),
        ("/ill", "front answers /ill with the status 503: upstream is away"),
        ("/metrics", "front answers /metrics with what is no JSON: 'waiting 7.0"),
    ],
)
def test_what_is_no_answer_is_said_in_words(stack, path, said):
    """A traceback of urllib or of json in the middle of a lab."""
    with pytest.raises(LabError) as error:
        stack.json("front", path)
    assert error.value.message.startswith(said)
    assert error.value.hint


def test_a_service_that_is_away_is_named(stack, service):
    """An error that does not say which of ten services is meant."""
    service.stop()
    with pytest.raises(LabError, match="front does not answer /calls"):
        stack.json("front", "/calls")


@pytest.mark.parametrize(
    ("status", "ready"), [(200, True), (307, True), (404, False), (503, False)]
)
def test_a_probe_takes_for_ready_what_curl_would(status, ready):
    """A service that is healthy in a container and never as a process, or the other way round."""
    with fake_service(lambda _: Answer(b"", status=status)) as service:
        port = int(service.url.rpartition(":")[2])
        assert answers(Probe("http", port, "/"), port) is ready
