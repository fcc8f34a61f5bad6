"""Nothing of ours asks a proxy for this machine, whatever the environment says of proxies."""

import ast
import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from lab_services.labs.qa.loading_test.swarm import Swarm
from lab_services.stack import Stack, engine, loopback
from tests.patterns.fake_service import Answer, fake_service
from tests.stack.conftest import ECHO
from tests.test_directions import cells

_ROOT = Path(__file__).parents[1]
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
# What asks the proxy of the environment unless told otherwise, and who may use it.
_VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "request", "stream")
_ASKS = {
    **dict.fromkeys(["httpx.Client", *(f"httpx.{verb}" for verb in _VERBS)], "loopback.py"),
    "httpx.AsyncClient": "",
    **dict.fromkeys(["requests.Session", *(f"requests.{verb}" for verb in _VERBS)], ""),
    **dict.fromkeys(["urllib.request.urlopen", "urllib.request.urlretrieve"], ""),
    **dict.fromkeys(["docker.DockerClient", "docker.APIClient"], "engine.py"),
    "docker.from_env": "conftest.py",
}
_LIBRARIES = {name.partition(".")[0] for name in _ASKS}


@pytest.fixture(params=[None, "10.0.0.0/8,127.0.0.0/8"], ids=["no no_proxy", "a network"])
def closed_proxy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment that names a proxy where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        proxy = f"http://127.0.0.1:{free.getsockname()[1]}"
    for name in _PROXIES:
        monkeypatch.setenv(name, proxy)
        monkeypatch.setenv(name.upper(), proxy)
    for name in ("no_proxy", "NO_PROXY"):
        if request.param is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, request.param)
    loopback._shared.cache_clear()
    yield
    loopback._shared.cache_clear()


@pytest.fixture
def service() -> Iterator[str]:
    with fake_service(lambda asked: Answer({"ApiVersion": "1.47", "path": asked.path})) as service:
        yield service.url


def test_the_client_reaches_the_service(closed_proxy: None, service: str) -> None:
    """Labs that set something in a service, which ended in a traceback behind a proxy."""
    assert loopback.post(f"{service}/a", json={}).json()["path"] == "/a"
    with loopback.client(base_url=service) as client:
        assert client.get("/b").json()["path"] == "/b"


def test_a_stack_reaches_its_services(
    closed_proxy: None, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A healthy service that was said to be killed, paused or overloaded, after 42 s."""
    stack = Stack(ECHO, runtime="process")
    monkeypatch.setattr(stack, "url", lambda *_, **__: f"{service}/c")
    assert stack.json("front", "/c")["path"] == "/c"


def test_locusts_page_is_reached(closed_proxy: None, service: str) -> None:
    """A load test that waits for a page which has long been there."""
    swarm = Swarm.__new__(Swarm)
    swarm.port = int(service.rpartition(":")[2])
    assert json.loads(swarm._ask("/stats", {"users": 1}))["path"] == "/stats"


def test_services_reach_one_another(closed_proxy: None, service: str) -> None:
    """aiohttp in a version that looks for proxies by itself."""

    async def ask() -> str:
        async with aiohttp.ClientSession() as session, session.get(f"{service}/d") as answer:
            return str((await answer.json())["path"])

    assert asyncio.run(ask()) == "/d"


def test_an_engine_on_loopback_is_reached(
    closed_proxy: None, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker that "does not answer", because a proxy was asked for it."""
    monkeypatch.setenv("DOCKER_HOST", service.replace("http:", "tcp:"))
    client = engine.connect().client
    assert client.api.api_version == "1.47"
    assert client.version()["path"] == "/v1.47/version"
    client.close()


def asks(source: str, file: str) -> list[str]:
    """The calls in a source that may ask a proxy, with their lines."""
    if not any(word in source for word in (*_LIBRARIES, "trust_env")):
        return []
    nodes = list(ast.walk(ast.parse(source)))
    long: dict[str, str] = {}  # what a name of this module stands for
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                long[alias.asname or name] = name
        elif isinstance(node, ast.ImportFrom):
            long |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    found = []
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        first, dot, rest = called.partition(".")
        may_use = _ASKS.get(f"{long.get(first)}{dot}{rest}", file)
        stated = {each.arg: ast.unparse(each.value) for each in node.keywords}
        inside = "transport" in stated  # an application in this process: no proxy is asked
        if (may_use != file and not inside) or stated.get("trust_env") == "True":
            found.append(f"line {node.lineno}: {called}")
    return found


def test_the_places_that_ask_are_found() -> None:
    """A check that sees nothing."""
    source = (
        "import httpx, requests, urllib.request\nimport urllib.request as web\n"
        "from urllib.request import urlopen as fetch\nfrom httpx import AsyncClient\n"
        "httpx.get('a')\nfetch('a')\nweb.urlopen('a')\nurllib.request.urlopen('a')\n"
        "requests.Session()\nAsyncClient()\nSession(trust_env=True)\n"
        "AsyncClient(transport=t)\nSession()\ntraffic.requests('a')\n"
    )
    assert [each.partition(":")[0] for each in asks(source, "any.py")] == [
        f"line {line}" for line in range(5, 12)
    ]


def test_whoever_asks_this_machine_does_it_in_one_way() -> None:
    """A client that asks the reader's proxy for a service on loopback."""
    files = [*(_ROOT / "lab_services").rglob("*.py"), *(_ROOT / "tests").rglob("*.py")]
    sources = {file: file.read_text() for file in files}
    sources |= {lab: cells(lab) for lab in (_ROOT / "labs").glob("*/*.ipynb")}
    found = {
        str(file.relative_to(_ROOT)): told
        for file, source in sources.items()
        if (told := asks(source, file.name))
    }
    assert not found, "use lab_services.stack.loopback"
