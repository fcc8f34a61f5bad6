"""The live line: one that changes at a terminal and in a notebook, a single one in a log."""

import os
import pty
import re
import subprocess
import sys

import pytest
from jupyter_client.manager import start_new_kernel

from lab_services import traffic
from lab_services.errors import LabError
from lab_services.traffic.send_status import SendStatus

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


@pytest.mark.alone
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
    assert text.count("(last second)") >= 2
    assert "\n" not in text.strip()
    assert "baseline: 100 requests in 1.0 s, 0 errors" in text


def test_a_log_gets_one_line(service):
    """Hundreds of updates would bury the log of a headless run."""
    code = CODE.format(url=service.url(), seconds=1.0)
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30
    )
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("baseline: 100 requests in 1.0 s, 0 errors, p50 ")


@pytest.mark.alone
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


@pytest.mark.alone
def test_a_count_is_shown_as_one(service, monkeypatch):
    """Infinite seconds, or requests of the warm-up among the count."""
    said = []
    monkeypatch.setattr(SendStatus, "update", lambda line, text: said.append(text))
    slow = traffic.requests(service.url("/slow"), [{}])
    traffic.closed_loop(slow, users=1, count=30, warmup=1.0, title="calm")
    assert said[0].startswith("calm: warming up  sent ")
    shown = [
        int(found[1]) for text in said if (found := re.match(r"calm: (\d+)/30 requests", text))
    ]
    assert len(shown) >= 3
    assert shown == sorted(shown)
    assert shown[-1] <= 30
    assert said[-1].startswith("calm: 30 requests in ")


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
    with pytest.raises(LabError, match="No traffic"):
        traffic.last()
