import ast
import asyncio
import json
import re
import textwrap
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from fastapi import HTTPException
from pydantic import ConfigDict
from starlette.testclient import TestClient
from typing_extensions import TypedDict

import lab_services
from lab_services.services.service import Service


class Word(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]
    word: str


@asynccontextmanager
async def nothing(_):
    yield


@pytest.fixture
def service():
    app = Service("test", lifespan=nothing)

    @app.post("/say")
    async def say(body: Word) -> Word:
        if body["word"] == "teapot":
            raise HTTPException(418, "short and stout", headers={"x-lid": "on"})
        if body["word"] == "custom":
            raise KeyError("handled by the application")
        if body["word"] == "fault":
            raise ZeroDivisionError("not handled")
        return body

    @app.exception_handler(KeyError)
    async def handled(request, error):
        raise HTTPException(409, str(error))

    return app


def test_an_endpoint_that_raises_is_handled_and_counted(service):
    """Errors that skip the application's handlers, or that no alarm on /metrics hears of."""
    with TestClient(service, raise_server_exceptions=False) as client:
        answer = client.post("/say", json={"word": "teapot"})
        assert (answer.status_code, answer.json()) == (418, {"detail": "short and stout"})
        assert answer.headers["x-lid"] == "on"
        assert client.post("/say", json={"word": "fault"}).status_code == 500
        assert client.post("/say", json={"word": "well"}).json() == {"word": "well"}
        counted = client.get("/metrics").text
    for status in (200, 418, 500):
        assert f'request_seconds_count{{path="/say",status="{status}"}} 1.0' in counted


def test_the_front_page_tells_what_can_be_asked(service):
    """A link to a service that ends at a 404; one of its own that leaves JupyterLab's proxy."""

    @service.get("/words/{word}")
    async def known(word: str) -> Word:
        """Whether <it> is known.

        More of it.
        """
        return {"word": word}

    with TestClient(service) as client:
        answer = client.get("/")
        assert answer.headers["content-type"].startswith("text/html")
        assert '<a href="openapi.json">' in answer.text
        assert '<a href="metrics">GET /metrics</a>' in answer.text
        assert "<dt>POST /say</dt>" in answer.text
        assert "<dt>GET /words/{word}</dt><dd>Whether &lt;it&gt; is known.</dd>" in answer.text
        for link in re.findall(r'href="([^"]*)"', answer.text):
            assert not link.startswith(("/", "http"))
            assert client.get(f"/{link}").status_code == 200
        assert "/" not in client.get("/openapi.json").json()["paths"]


def test_no_page_needs_another_host(service):
    """A page of /docs that is blank without the internet, and tells three hosts of its reader."""
    with TestClient(service) as client:
        for path in ("/docs", "/redoc"):
            assert client.get(path).status_code == 404
        assert "://" not in client.get("/").text
        assert "/say" in client.get("/openapi.json").json()["paths"]


def test_an_endpoint_is_called_once(service):
    """An endpoint that raises and is tried a second time."""
    calls = []

    @service.post("/count")
    async def count(body: Word) -> Word:
        calls.append(body)
        raise HTTPException(503)

    with TestClient(service) as client:
        assert client.post("/count", json={"word": "x"}).status_code == 503
    assert len(calls) == 1


def test_a_refusal_of_the_endpoint_is_no_bad_body(service):
    """A service that is unwell, and callers are told that their JSON is wrong."""

    @service.post("/stale")
    async def stale(body: Word) -> Word:
        try:
            raise ValueError("too old")
        except ValueError as error:
            raise HTTPException(400 if body["word"] == "x" else 503, "stale") from error

    with TestClient(service) as client:
        for word, code in (("x", 400), ("y", 503)):
            answer = client.post("/stale", json={"word": word})
            assert (answer.status_code, answer.json()["detail"]) == (code, "stale")


def test_a_caller_who_leaves_in_the_midst_is_no_error_of_the_service(service):
    """A traceback in the log for each upload that is broken off."""
    coming = [{"type": "http.request", "body": b'{"wo', "more_body": True}]
    headers = [(b"content-type", b"application/json"), (b"content-length", b"15")]
    scope = {"type": "http", "method": "POST", "path": "/say", "raw_path": b"/say", "state": {}}
    scope |= {"headers": headers, "query_string": b"", "http_version": "1.1", "scheme": "http"}
    codes = []

    async def receive():
        return coming.pop() if coming else {"type": "http.disconnect"}

    async def send(message):
        codes.append(message.get("status"))

    anyio.run(service, scope | {"server": ("test", 80), "client": ("test", 1)}, receive, send)
    assert 500 not in codes


def test_ready_only_between_start_and_drain():
    """Traffic sent to a replica that is still loading, or already leaving."""
    app = Service("test", lifespan=nothing)
    unstarted = TestClient(app)
    assert unstarted.get("/ready").status_code == 503
    assert unstarted.get("/live").status_code == 200
    with TestClient(app) as client:
        assert client.get("/ready").json() == {"status": "ready"}
        client.app_state["draining"] = True
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
        assert client.get("/live").status_code == 200


def test_a_background_task_that_dies_shows(caplog):
    """A part of a service that has ended for ever, while it is ready and its log silent."""
    go_on = asyncio.Event()

    async def part():
        await go_on.wait()
        raise KeyError("unexpected")

    @asynccontextmanager
    async def lifespan(app):
        app.background(part())
        yield

    app = Service("test", lifespan=lifespan)

    @app.post("/go-on")
    async def let_it() -> None:
        go_on.set()

    with TestClient(app) as client:
        assert client.get("/ready").json() == {"status": "ready"}
        client.post("/go-on")
        answer = client.get("/ready")
        assert answer.status_code == 503
        assert answer.json()["status"] == "failed" and "part" in answer.json()["reason"]
        assert "KeyError('unexpected')" in answer.json()["reason"]
    assert "Traceback" in caplog.text and "unexpected" in caplog.text


def test_a_background_task_ends_with_the_service(caplog):
    """A task that outlives what it works with; one that ends as it should, told as a death."""
    ends = []

    async def until_cancelled():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)  # one cancellation may get lost
        finally:
            ends.append("task")

    async def soon_done():
        pass

    @asynccontextmanager
    async def lifespan(app):
        app.background(until_cancelled())
        app.background(soon_done(), may_end=True)
        yield
        ends.append("resources")

    with TestClient(Service("test", lifespan=lifespan)) as client:
        assert client.get("/ready").status_code == 200
    assert ends == ["task", "resources"]
    assert not caplog.records


@pytest.mark.parametrize("how", ["was cancelled", "has ended"])
def test_a_background_task_that_is_over_shows(caplog, how):
    """A part of a service that nobody does any more, and no error anywhere."""
    go_on = asyncio.Event()
    tasks = []

    async def part():
        await go_on.wait()

    @asynccontextmanager
    async def lifespan(app):
        tasks.append(app.background(part()))
        yield

    app = Service("test", lifespan=lifespan)

    @app.post("/go-on")
    async def let_it() -> None:
        if how == "was cancelled":
            tasks[0].cancel()
        go_on.set()

    with TestClient(app) as client:
        assert client.get("/ready").json() == {"status": "ready"}
        client.post("/go-on")
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "failed")
        assert answer.json()["reason"].endswith(f"part {how}")
    assert "a background task is over" in caplog.text


def test_a_task_that_never_ends_does_not_hold_the_service(serve):
    """A service that could only be killed, and whose log did not say what held it, or that rows
    are lost."""
    server = serve("deaf:app").until_ready()
    server.process.terminate()
    code, log = server.end()
    assert code == 0, log
    lines = [json.loads(line) for line in log.splitlines()]
    told = {line["message"]: line for line in lines if line["level"] == "ERROR"}
    assert list(told) == [
        "background tasks do not end: they are left",
        "rows are lost with the service",
        "tasks ignore that they are cancelled: it ends without them",
    ]
    left, lost, ended = told.values()
    assert left["tasks"] == ended["tasks"] == ["WriteBehind._keep_writing"]
    assert lost["rows"] == 1


def test_what_had_begun_when_a_service_did_not_start_has_not_died(caplog):
    """A false cause of death in the log, beside the one for which the service did not start."""

    async def part():
        await asyncio.sleep(60)

    @asynccontextmanager
    async def lifespan(app):
        app.background(part())
        await asyncio.sleep(0)
        raise LookupError("no database")
        yield

    with (
        pytest.raises(LookupError),
        TestClient(Service("test", lifespan=lifespan)),
    ):
        pass
    assert "a background task is over" not in caplog.text


SERVICES = sorted(
    path
    for folder in ("patterns", "services")
    for path in (Path(lab_services.__file__).parent / folder).rglob("*.py")
    if "Service" in path.read_text(errors="ignore")
)


def _starts_tasks(source):
    """Functions that are entered as resources of a service, and start a task nobody looks at."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.AsyncFunctionDef) and any(
            ast.unparse(decorator) == "asynccontextmanager" for decorator in function.decorator_list
        ):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and "create_task" in ast.unparse(call.func):
                    yield f"{function.name}, line {call.lineno}"


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_a_lifespan_starts_is_looked_at(path):
    """A lifespan whose task dies without a word: it must be the service's `background`."""
    assert not list(_starts_tasks(path.read_text()))


def test_a_task_that_nobody_looks_at_is_found():
    source = """
    @asynccontextmanager
    async def resources(_):
        task = asyncio.create_task(write())
        yield
    """
    assert list(_starts_tasks(textwrap.dedent(source))) == ["resources, line 4"]
