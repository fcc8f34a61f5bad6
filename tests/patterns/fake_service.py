"""An HTTP service whose answers a test writes, in the place of one that a stack would run."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request; the names of its headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What is answered: bytes as they are, anything else as JSON."""

    content: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class FakeService:
    """A service on a free port of this machine, which keeps what it was asked.

    `answer` makes an answer of each request, in a thread of its own: it may sleep or wait.
    """

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self.asked: list[Asked] = []
        self._open: set[socket.socket] = set()
        own = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections stay open, as those of real services
            disable_nagle_algorithm = True  # or a body waits 40 ms for its head to be acknowledged

            def setup(self) -> None:
                super().setup()
                own._open.add(self.connection)

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # or while it is read
                    super().handle()

            def finish(self) -> None:
                own._open.discard(self.connection)
                super().finish()

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, body)
                own.asked.append(asked)
                given = answer(asked)
                plain = isinstance(given.content, bytes)
                content = given.content if plain else json.dumps(given.content).encode()
                kind = {} if plain else {"content-type": "application/json"}
                with contextlib.suppress(OSError):  # who asked may have left
                    self.send_response(given.status)
                    for name, value in {**kind, **given.headers}.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Hang up, and take no connection any more. A second time changes nothing."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):  # it may just have ended
                connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def fake_service(answer: Callable[[Asked], Answer]) -> Iterator[FakeService]:
    """A service with these answers, until the end of the block.

    >>> with fake_service(lambda asked: Answer({"probability": 0.2})) as predictor:
    ...     monkeypatch.setenv("PREDICTOR_URL", predictor.url)
    """
    service = FakeService(answer)
    try:
        yield service
    finally:
        service.stop()
