"""Show the built site to this machine's browser."""

import errno
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lab_services.errors import LabError

PORT = 8000


class Server(ThreadingHTTPServer):
    """Serves the files of a folder to this machine; taken from the moment it is made."""

    def __init__(self, folder: Path, port: int = PORT) -> None:
        """Raises LabError where the port is taken or may not be used."""
        try:
            super().__init__(("127.0.0.1", port), partial(_Files, directory=str(folder)))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            why = "in use" if error.errno == errno.EADDRINUSE else "not ours to use"
            raise LabError(
                f"Port {port} is {why}.", f"Choose another: make serve PORT={port + 1}."
            ) from error


class _Files(SimpleHTTPRequestHandler):
    def log_request(self, *_: object) -> None:
        """Requests are nothing to tell; errors are."""
