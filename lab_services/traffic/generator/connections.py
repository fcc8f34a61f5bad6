"""Keep-alive connections to one server, and one HTTP exchange over them."""

import socket
import time
from collections import deque
from dataclasses import dataclass

import gevent
from geventhttpclient.response import HTTPParseError, HTTPResponse

from lab_services.traffic.plan import Address, WireRequest

# An idle connection is not used again after this time: servers close idle ones (uvicorn after
# 5 s), and a request that meets the closing is lost without being the service's fault.
IDLE_SECONDS = 2.0
_BLOCK = 65536
_SHOWN = 200
_BY = "x-answered-by"


@dataclass(slots=True)
class Response:
    """`status` is 0, and `error` says why, when no whole answer came; `size` is the body's.

    `by` is what the answer says of who gave it, in a header.

    Times are of the monotonic clock: just before the first byte was sent (or a connection opened
    for it), and just after the last one came.
    """

    started: float
    ended: float
    status: int
    size: int
    error: str
    by: str = ""


class Connections:
    """Connections to one server, used in turn, so that servers sharing a port all get some.

    A request that finds none idle opens a new one. There is no retry: a request lost with its
    connection is recorded as lost.
    """

    def __init__(self, addresses: list[Address], timeout: float) -> None:
        self._addresses = addresses
        self._timeout = timeout
        self._idle: deque[tuple[socket.socket, float]] = deque()

    def open(self, count: int) -> None:
        """Have `count` idle connections; fewer when the server does not take them in a second."""
        deadline = time.monotonic() + 1.0
        try:
            for _ in range(count):
                self._idle.append((self._connect(deadline), time.monotonic()))
        except OSError:
            return  # every request will meet the same and record it

    def close(self) -> None:
        while self._idle:
            self._idle.popleft()[0].close()

    def exchange(self, message: WireRequest, start: float, deadline: float) -> Response:
        """Send at `start`, or at once when it has passed, and read the whole answer.

        All that can be ready at the start is. Gives up at `deadline` of the monotonic clock.
        """
        response = _Response(message.method)
        connection = self._take()
        while (started := time.monotonic()) < start:
            gevent.sleep(0)
        try:
            connection = connection or self._connect(deadline)
            connection.settimeout(_left(deadline))
            # gevent's sendall costs 0.03 ms more, and nearly every request goes out at once.
            if (sent := connection.send(message.data)) < len(message.data):
                connection.sendall(message.data[sent:])
            while not response.is_whole():
                connection.settimeout(_left(deadline))
                block = connection.recv(_BLOCK)
                ended = time.monotonic()  # before the parser has had its time
                response.feed(block)
        except (OSError, HTTPParseError) as error:
            if connection:
                connection.close()
            return Response(started, time.monotonic(), 0, 0, self._reason(error))
        if response.should_close():
            connection.close()
        else:
            self._idle.append((connection, time.monotonic()))
        status = response.get_code()
        shown = response.body[:_SHOWN].decode("utf-8", "replace") if status >= 400 else ""
        by = response.get(_BY) or ""
        return Response(started, ended, status, len(response.body), shown, str(by))

    def _take(self) -> socket.socket | None:
        while self._idle:
            connection, since = self._idle.popleft()
            if time.monotonic() - since < IDLE_SECONDS and _is_open(connection):
                return connection
            connection.close()
        return None

    def _connect(self, deadline: float) -> socket.socket:
        failures = []
        for family, kind, protocol, address in self._addresses:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(_left(deadline))
                connection.connect(address)
            except OSError as error:
                connection.close()
                failures.append(error)
            else:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
        raise failures[0]

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self._timeout:g} s"
        if isinstance(error, HTTPParseError):
            return f"not HTTP: {error}"
        return (getattr(error, "strerror", None) or str(error)).lower()


class _Response(HTTPResponse):
    """The parser of geventhttpclient with the body kept and an early end told apart."""

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.body = bytearray()

    def is_whole(self) -> bool:
        return bool(self.message_complete) and self.get_code() >= 200

    def feed(self, data: str | bytes) -> None:
        try:
            super().feed(data)
        except HTTPParseError:
            if data:
                raise
        # An empty block ends a body that came without its length; any other answer it cuts short.
        if not data and not self.is_whole():
            where = "in the middle of" if self.message_begun else "before"
            raise ConnectionResetError(f"connection closed {where} the answer")

    def _on_body(self, buf: bytearray) -> None:
        self.body += buf


def _is_open(connection: socket.socket) -> bool:
    """Whether an idle connection is neither closed by the server nor has stray bytes."""
    connection.settimeout(0.0)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
