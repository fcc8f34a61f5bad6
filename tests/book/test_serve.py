"""The site shown from this machine: the port, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab_services.book.__main__ import main
from lab_services.book.serve import Server
from lab_services.errors import LabError
from lab_services.stack import loopback

# The site stands for itself here: what is built is tested elsewhere.
SHOW = """
import sys
from lab_services.book import __main__ as book
book.build = lambda *_, **__: 0
sys.exit(book.main(["--root", sys.argv[1], "--serve", "0"]))
"""


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_the_site_is_served_to_this_machine_only(tmp_path):
    """A server that shows another folder, or shows it to the network."""
    (tmp_path / "index.html").write_text("the book")
    with Server(tmp_path, 0) as server:
        assert server.server_address[0] == "127.0.0.1"
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        assert loopback.get(f"http://127.0.0.1:{server.server_port}/").content == b"the book"
        server.shutdown()
        serving.join()


def test_a_taken_port_is_told_with_another(tmp_path, taken):
    """A traceback in place of what to do."""
    with pytest.raises(LabError) as raised:
        Server(tmp_path, taken)
    assert raised.value.message == f"Port {taken} is in use."
    assert raised.value.hint == f"Choose another: make serve PORT={taken + 1}."


def test_a_taken_port_is_told_before_the_build(tmp_path, taken, capsys):
    """A build of minutes for a site that is then not shown."""
    assert main(["--root", str(tmp_path), "--serve", str(taken)]) == 1
    assert "in use" in capsys.readouterr().err
    assert not (tmp_path / "_build").exists()


def test_ctrl_c_ends_it_quietly(tmp_path):
    """A traceback as a farewell; an error for somebody who has read enough."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", SHOW, tmp_path], stderr=subprocess.PIPE, text=True, env=environment
    ) as shown:
        assert shown.stderr is not None
        assert "Ctrl-C ends" in shown.stderr.readline()
        shown.send_signal(signal.SIGINT)
        assert shown.stderr.read() == ""
    assert shown.returncode == 0
