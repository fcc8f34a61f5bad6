"""Whether a service on loopback is ready, and how long it may take to be."""

import http.client
import socket
import struct

from lab_services.stack.compose import Probe

READY_TIMEOUT = 90.0  # seconds from the start of a service; a cold laptop needs some 10
_ANSWER = 1.0  # seconds; a service that takes longer to say that it is ready, is not
_STAY = 0.1  # seconds
# https://www.postgresql.org/docs/current/protocol-message-formats.html, StartupMessage: what
# pg_isready sends. A server that takes no connections yet answers with the error 57P03.
_HELLO = struct.pack("!ii", 20, 3 << 16) + b"user\0probe\0\0"
_NOT_YET = b"C57P03\0"


def answers(probe: Probe, port: int) -> bool:
    """True when the service behind the loopback `port` says that it is ready."""
    try:
        if probe.kind == "http":
            return _http_ok(port, probe.path)
        with socket.create_connection(("127.0.0.1", port), timeout=_ANSWER) as connection:
            if probe.kind == "redis":
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            if probe.kind == "postgres":
                connection.sendall(_HELLO)
                answer = connection.recv(1024)
                return answer != b"" and _NOT_YET not in answer
            return _stays_open(connection)
    except (OSError, http.client.HTTPException):
        return False  # not listening yet, or not finished with its start: asked again soon


def _stays_open(connection: socket.socket) -> bool:
    # Docker's own proxy accepts every connection, and closes it at once when nobody listens inside.
    connection.settimeout(_STAY)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True


def _http_ok(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER)
    try:
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 400  # what `curl -f` takes for well
    finally:
        connection.close()
