"""The live line: one that changes at a terminal and in a notebook, none in a log."""

import io
import os
import pty
import subprocess
import sys

import pytest
from jupyter_client.manager import start_new_kernel
from rich.console import Console

from lab_services import traffic
from lab_services.traffic.live import TerminalLine

CODE = """
from lab_services import traffic
recording = traffic.send(
    traffic.requests("{url}", [{{}}]), traffic.constant(100, {seconds}), title="baseline"
)
"""


@pytest.fixture
def kernel():
    manager, client = start_new_kernel()
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_terminal_gets_one_line_that_changes(service):
    """Seen on a real pseudo-terminal; standard output stays free for results."""
    ours, theirs = pty.openpty()
    code = CODE.format(url=service.url(), seconds=1.0)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.communicate(timeout=20)[0] == ""
    text = shown.decode()
    assert text.count("p50 of the last second") >= 3
    assert "baseline: 100 requests in 1.0 s, 0 errors" in text.replace("\r\n", " ")


def test_a_log_stays_quiet(service):
    code = CODE.format(url=service.url(), seconds=0.3)
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, timeout=30
    )
    assert result.stdout == b""
    assert result.stderr == b""


def test_the_line_says_how_it_goes():
    """Elapsed and total, sent, answered, errors and the latency of the last second."""
    screen = io.StringIO()
    line = TerminalLine(Console(file=screen, force_terminal=True, width=120))
    line.show("first")
    line.show("second")
    line.close()
    assert "first" in screen.getvalue()
    assert "second" in screen.getvalue()


def test_a_notebook_gets_one_output_that_changes(service, kernel):
    """A cell must not grow by an output with every update."""
    _, client = kernel
    messages = []
    code = CODE.format(url=service.url(), seconds=1.0)
    client.execute_interactive(code, output_hook=messages.append, timeout=60)
    kinds = [message["msg_type"] for message in messages]
    assert kinds.count("display_data") == 1
    assert kinds.count("update_display_data") >= 2
    assert not {"error", "stream"} & set(kinds)
    final = [m for m in messages if m["msg_type"] == "update_display_data"][-1]
    assert "baseline: 100 requests" in final["content"]["data"]["text/plain"]


def test_an_interrupted_cell_keeps_its_recording(service, kernel):
    """The kernel lives on, and what was measured until then is at hand."""
    manager, client = kernel
    interrupted = []

    def hook(message):
        if message["msg_type"] == "update_display_data" and not interrupted:
            interrupted.append(True)
            manager.interrupt_kernel()

    code = CODE.format(url=service.url(), seconds=30)
    reply = client.execute_interactive(code, output_hook=hook, timeout=60)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    said = []
    client.execute_interactive(
        "print(traffic.last().interrupted, len(traffic.last()) > 0)",
        output_hook=lambda message: said.append(message["content"].get("text")),
        timeout=60,
    )
    assert "True True\n" in said


def test_nothing_sent_yet_has_a_hint(monkeypatch):
    from lab_services.traffic import running

    monkeypatch.setattr(running, "_last", None)
    with pytest.raises(traffic.running.LabError, match="No traffic"):
        traffic.last()
