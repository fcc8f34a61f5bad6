"""The site on a port of this machine, compressed as real servers send it."""

import gzip
import mimetypes
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_PACKED = ("text/", "application/javascript", "application/json", "image/svg+xml")


class Server(ThreadingHTTPServer):
    """Serves a folder; what is put into `pages` under a path lies over it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Files, folder))
        self.pages: dict[str, str] = {}
        self.address = f"http://127.0.0.1:{self.server_port}/"


class _Files(BaseHTTPRequestHandler):
    server: Server

    def __init__(self, folder: Path, *args: object) -> None:
        self.folder = folder
        super().__init__(*args)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        file = self.folder / path
        if path in self.server.pages:
            content = self.server.pages[path].encode()
        elif file.is_file():
            content = file.read_bytes()
        else:
            self.send_error(404)
            return
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if kind.startswith(_PACKED):
            content = gzip.compress(content, 6)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing: the tests tell what is wrong."""
