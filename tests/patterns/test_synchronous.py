"""The web application against a predictor that the test slows down, and what the lab reads off."""

import runpy
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace

import pytest
import yaml
from starlette.testclient import TestClient

from lab_services import paths
from lab_services.models import build
from lab_services.models.features import EXAMPLE
from lab_services.models.scoring import predict_proba
from lab_services.stack import compose
from lab_services.stack.catalogue import compose_path
from tests.patterns.fake_service import Answer, fake_service

APP = "lab_services.patterns.serving.synchronous.app"
PREDICTOR = "lab_services.patterns.serving.synchronous.predictor"
# Two threads in each; the deadline is in milliseconds.
WAITS, BULKHEAD = "threads=2", "threads=2&bulkhead=true"
DEADLINE, GUARDED = "threads=2&milliseconds=150", "threads=2&milliseconds=150&bulkhead=true"
TIMED = (DEADLINE, GUARDED)


@pytest.fixture(scope="module", autouse=True)
def models():
    """The rough and the good model."""
    return build.ensure("rough", "good")


@pytest.fixture
def predictor():
    """A predictor that answers when the test lets it, with the number of flights asked for."""
    own = SimpleNamespace(status=200, free=threading.Event())
    own.free.set()

    def answer(asked):
        flights = asked.json
        own.free.wait(5)
        chance = round(len(flights) / 100, 2)
        return Answer([{"probability": chance, "late": True}] * len(flights), own.status)

    with fake_service(answer) as service:
        own.url, own.asked, own.stop = service.url, service.asked, service.stop
        yield own
        own.free.set()


@pytest.fixture
def web(models, predictor, monkeypatch):
    """The application, which asks this predictor."""
    environment = {
        "MODEL": str(models["rough"]),
        "PREDICTOR_URL": predictor.url,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with TestClient(runpy.run_module(APP)["app"]) as client:
        yield client


@pytest.fixture
def users():
    with ThreadPoolExecutor(12) as pool:
        yield pool


def show(web, way, flights=1):
    return web.post(f"/board?{way}", json=[EXAMPLE] * flights)


def waiting(web):
    """How many requests wait for a thread, of all applications together."""
    lines = web.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("waiting{"))


def until(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


@pytest.mark.alone
@pytest.mark.parametrize("way", [WAITS, BULKHEAD, DEADLINE, GUARDED])
def test_a_sound_predictor_answers(web, way):
    """A fallback that answers although nothing is wrong."""
    answer = show(web, way, flights=3)
    assert answer.status_code == 200
    assert answer.json() == [{"probability": 0.03, "late": True}] * 3


@pytest.mark.parametrize("way", TIMED)
def test_a_predictor_that_fails_is_replaced_by_the_rough_model(web, predictor, way):
    """An error handed on to the user, or an answer of the fallback that looks like the model's."""
    predictor.status = 503
    answer = show(web, way, flights=2)
    assert answer.status_code == 203
    expected = pytest.approx(predict_proba("rough", [EXAMPLE])[0], abs=1e-5)
    assert [each["probability"] for each in answer.json()] == [expected, expected]


@pytest.mark.parametrize("way", [WAITS, BULKHEAD])
def test_without_a_fallback_the_user_gets_the_failure(web, predictor, way):
    """A baseline that is protected after all."""
    predictor.status = 503
    assert show(web, way).status_code == 503


@pytest.mark.alone
@pytest.mark.parametrize("way", TIMED)
def test_a_late_answer_is_not_waited_for_and_is_nobodys(web, predictor, way):
    """A deadline that does not hold; then the late answer taken for that of the next request."""
    predictor.free.clear()
    assert show(web, way, flights=1).status_code == 203
    predictor.free.set()
    answer = show(web, way, flights=7)
    assert (answer.status_code, answer.json()[0]["probability"]) == (200, 0.07)


def test_applications_have_threads_of_their_own(web, predictor, users):
    """One application's boards wait for the threads of another, and so nothing is compared."""
    predictor.free.clear()
    boards = [users.submit(show, web, WAITS) for _ in range(2)]
    until(lambda: len(predictor.asked) == 2)
    boards += [users.submit(show, web, "threads=3") for _ in range(3)]
    until(lambda: len(predictor.asked) == 5)
    predictor.free.set()
    assert [board.result(5).status_code for board in boards] == [200] * 5


@contextmanager
def predictor_that_says(*words):
    """The address of a predictor that sends such pieces, each after so many seconds."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as opened:

        def serve():
            caller = opened.enter_context(server.accept()[0])
            caller.recv(65536)
            with suppress(OSError):  # the caller has gone, as it should
                for seconds, piece in words:
                    time.sleep(seconds)
                    caller.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n"


@pytest.mark.alone
@pytest.mark.parametrize(
    ("words", "milliseconds"),
    [([(0.3, HEAD)], 400), ([(0.0, HEAD), *[(0.1, b" ")] * 20], 300)],
    ids=["a late head and no body", "a body that drips"],
)
def test_the_deadline_is_for_the_whole_answer(web, monkeypatch, words, milliseconds):
    """A limit for each packet by itself: as long again for the body, or for each piece of it."""
    with predictor_that_says(*words) as url:
        monkeypatch.setenv("PREDICTOR_URL", url)
        began = time.monotonic()
        assert show(web, f"threads=2&milliseconds={milliseconds}").status_code == 203
        assert time.monotonic() - began < 0.6


def test_a_predictor_that_is_away(web, monkeypatch, predictor):
    """A traceback, or a wait without end, where nobody answers."""
    predictor.stop()
    assert show(web, WAITS).status_code == 503
    assert show(web, GUARDED).status_code == 203


def test_in_one_pool_the_airports_wait_for_the_boards(web, predictor, users):
    """A comparison whose unprotected side has threads to spare."""
    predictor.free.clear()
    boards = [users.submit(show, web, WAITS) for _ in range(2)]
    until(lambda: len(predictor.asked) == 2)
    airport = users.submit(web.get, f"/airport/JFK?{WAITS}")
    until(lambda: waiting(web) == 1)
    assert not airport.done()
    predictor.free.set()
    assert airport.result(5).json() == {
        "code": "JFK",
        "name": "John F. Kennedy International Airport",
    }
    assert [board.result(5).status_code for board in boards] == [200, 200]


def test_behind_a_bulkhead_they_do_not(web, predictor, users):
    """A bulkhead with a hole, or one that lets boards have all threads."""
    predictor.free.clear()
    boards = [users.submit(show, web, BULKHEAD) for _ in range(2)]
    until(lambda: waiting(web) == 1)
    assert web.get(f"/airport/LGA?{BULKHEAD}").status_code == 200
    assert len(predictor.asked) == 1
    predictor.free.set()
    assert [board.result(5).status_code for board in boards] == [200, 200]


@pytest.mark.alone
def test_the_wait_for_a_thread_counts_towards_the_deadline(web, predictor, users):
    """A deadline on the call alone: who queues waits for those before him, and then once more."""
    predictor.free.clear()
    began = time.monotonic()
    boards = [users.submit(show, web, GUARDED) for _ in range(12)]
    assert {board.result(5).status_code for board in boards} == {203}
    assert time.monotonic() - began < 12 * 0.15
    # Who never got a thread has asked nobody; a deadline on the call alone would let all of them
    # ask. So do a few that come late enough on a busy machine to have a moment left.
    assert len(predictor.asked) < 12


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/board", [EXAMPLE]),
        ("POST", "/board?threads=2", []),
        ("POST", "/board?threads=2", [{}]),
        ("POST", "/board?threads=2&milliseconds=0", [EXAMPLE]),
        ("POST", "/board?threads=1&bulkhead=true", [EXAMPLE]),
        ("GET", "/airport/LAX?threads=2", None),
    ],
)
def test_what_does_not_exist_is_refused(web, predictor, method, path, body):
    """A pool of no threads, which nobody ever gets through, or a way that is another one."""
    assert web.request(method, path, json=body).status_code in (404, 422)
    assert predictor.asked == []


def test_the_predictor_answers_for_each_flight_as_web_single_does(models, monkeypatch):
    """A queue that changes the answer, or one answer for a whole board."""
    monkeypatch.setenv("MODEL", str(models["good"]))
    other = {**EXAMPLE, "departs": 300}
    with TestClient(runpy.run_module(PREDICTOR)["app"]) as client:
        answer = client.post("/predict/board", json=[EXAMPLE, other])
        assert client.post("/predict/board", json=[]).status_code == 422
    found = [each["probability"] for each in answer.json()]
    assert found == pytest.approx(list(predict_proba("good", [EXAMPLE, other])), abs=1e-5)


def test_the_application_asks_through_the_proxy():
    """An application that goes round the proxy, so that the lab's delays do not reach it."""
    path = compose_path("serving/synchronous")
    stack = compose.read(path, {"LAB_MODELS": str(paths.models_dir())})
    envoy = yaml.safe_load(path.with_name("envoy.yaml").read_text())["static_resources"]
    port = envoy["listeners"][0]["address"]["socket_address"]["port_value"]
    assert stack.service("web").environment["PREDICTOR_URL"] == f"http://proxy:{port}"
    assert stack.service("predictor").replicas == 2
