import contextlib
import http.client
import json
import os
import runpy
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lab_services.models import build

MODULE = "lab_services.services.flights_app"


@pytest.fixture(scope="session", autouse=True)
def good():
    """The path of the good model."""
    return build.ensure("good")["good"]


@pytest.fixture
def client(good, monkeypatch):
    """Clients of the web single pattern, started anew with the environment they are given."""
    with contextlib.ExitStack() as stack:

        def start(**environment):
            with monkeypatch.context() as settings:
                for name, value in {"MODEL": str(good), **environment}.items():
                    settings.setenv(name, value)
                # A namespace of its own each time: two with other settings live side by side.
                settings.delitem(sys.modules, MODULE, raising=False)
                pattern = runpy.run_module(MODULE)
                pattern["app"].model = pattern["model"]
                return stack.enter_context(TestClient(pattern["app"]))

        yield start


class Server:
    """The web single pattern in a process of its own."""

    def __init__(self, app, environment):
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lab_services.services.server", app],
            env={**os.environ, "PORT": str(self.port), **environment},
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_ready(self):
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up and self.process.poll() is None:
            with contextlib.suppress(ConnectionRefusedError):
                if self.ask("GET", "/ready")[0] == 200:
                    return self
            time.sleep(0.02)
        raise AssertionError(f"not ready, exit {self.process.poll()}")

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def ask(self, method, path, body=None, connection=None):
        """Status, headers and body, over a new connection unless one is given."""
        with (
            contextlib.closing(self.connect())
            if connection is None
            else (contextlib.nullcontext(connection)) as used
        ):
            content = None if body is None else json.dumps(body)
            used.request(method, path, content, {"content-type": "application/json"})
            answer = used.getresponse()
            return answer.status, answer.headers, answer.read()

    def end(self):
        """Exit code and log, once the process has ended by itself."""
        log, _ = self.process.communicate(timeout=20)
        return self.process.returncode, log


@pytest.fixture
def serve(good):
    """Start servers, by default of the web single pattern; they are killed after the test."""
    started = []

    def start(app=f"{MODULE}:app", **environment):
        started.append(Server(app, {"MODEL": str(good), **environment}))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.communicate()
