"""Ask a service on loopback whether it is ready."""

import http.client
import socket

from lab_services.stack.compose import Probe

_PATIENCE = 1.0  # seconds; a service that takes longer to say that it is ready, is not
_STAY = 0.1  # seconds
# https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest:
# a server that accepts connections answers with one byte, before any login.
_SSL_REQUEST = bytes([0, 0, 0, 8, 4, 210, 22, 47])


def answers(probe: Probe, port: int) -> bool:
    """True when the service behind the loopback `port` says that it is ready."""
    try:
        if probe.kind == "http":
            return _http_ok(port, probe.path)
        with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
            if probe.kind == "redis":
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            if probe.kind == "postgres":
                connection.sendall(_SSL_REQUEST)
                return connection.recv(1) in (b"S", b"N")
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
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 300
    finally:
        connection.close()
