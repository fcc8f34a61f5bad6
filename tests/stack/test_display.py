"""How a stack shows itself: in a notebook, at a terminal, in a log."""

import contextlib
import io
import queue
from collections.abc import Iterator
from typing import Any

import pytest

from lab_services.stack import Stack, display
from lab_services.stack.messages import Replica
from tests.stack.conftest import ECHO, Write
from tests.stack.kernels import Kernel


@pytest.fixture
def replicas(monkeypatch: pytest.MonkeyPatch) -> list[Replica]:
    """What the echo stack is made to say of itself."""
    made = [
        Replica("store", 1, "ready", {6379: 20001}),
        Replica("echo", 1, "ready", {8000: 20002}),
        Replica("echo", 2, "exited", {8000: 20003}, exit_code=137),
        Replica("proxy", 1, "paused", {8080: 20004, 9901: 20005}),
    ]
    monkeypatch.setattr(Stack, "states", lambda self: made)
    return made


def test_table(replicas: list[Replica]) -> None:
    """A row a replica, with the exit code of one that has ended."""
    assert str(Stack(ECHO, "process")).splitlines()[1:] == [
        "service  replica  state         address",
        "store    1        ready         6379→127.0.0.1:20001",
        "echo     1        ready         8000→127.0.0.1:20002",
        "echo     2        exited (137)  8000→127.0.0.1:20003",
        "proxy    1        paused        8080→127.0.0.1:20004 9901→127.0.0.1:20005",
    ]


def test_links(replicas: list[Replica], monkeypatch: pytest.MonkeyPatch) -> None:
    """A link for what a browser can open, an address for what it cannot, none for what is down."""
    for name in ("JUPYTERHUB_SERVICE_PREFIX", "LAB_JUPYTER"):
        monkeypatch.delenv(name, raising=False)
    html = display.html_of(Stack(ECHO, "process"), replicas)
    assert html.count("<a ") == 1
    assert '<a href="http://127.0.0.1:20002/">echo:8000</a>' in html
    assert "store:6379 at 127.0.0.1:20001" in html


def test_links_behind_a_hub(replicas: list[Replica], monkeypatch: pytest.MonkeyPatch) -> None:
    """On Binder loopback is another machine's: links lead through the hub's proxy."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    html = display.html_of(Stack(ECHO, "process"), replicas)
    assert '<a href="/user/me/proxy/20002/">echo:8000</a>' in html


def test_links_where_jupyterlab_alone_is_reached(
    replicas: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Codespaces one port of the machine is forwarded: JupyterLab's."""
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    monkeypatch.setenv("LAB_JUPYTER", "/")
    html = display.html_of(Stack(ECHO, "process"), replicas)
    assert '<a href="/proxy/20002/">echo:8000</a>' in html


def test_progress_in_a_log(write: Write) -> None:
    """Where no line can be rewritten, one line is left: what, where, how long."""
    path = write("  one: {image: '${LAB_IMAGE:-lab-services}', command: [sleep, '60']}\n")
    shown = io.StringIO()
    with contextlib.redirect_stderr(shown), Stack(path, "process"):
        pass
    (line,) = shown.getvalue().splitlines()
    assert line.startswith(f"{path} on process (asked for) | ")
    assert line.endswith(" s | ready: one")


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A kernel that has made the echo stack."""
    made = Kernel("process")
    yield made
    made.close()


def shown_by(kernel: Kernel, timeout: float = 10) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the page gets to show, from now on."""
    while True:
        try:
            message = kernel.client.get_iopub_msg(timeout=timeout)
        except queue.Empty:
            return
        if "data" in message["content"]:
            yield message["msg_type"], message["content"]["data"]


def test_a_picture_that_stays_true(kernel: Kernel) -> None:
    """The picture in the notebook follows the stack: a kill, a start, the end."""
    kernel.run("stack.up()")
    kernel.begin("stack")
    pages = shown_by(kernel)
    assert any(
        kind == "display_data" and "<svg" in data.get("text/html", "") for kind, data in pages
    )
    for act, sign in (
        ("stack.kill('echo', 2)", "1 of 2 ready"),
        ("stack.start('echo', 2)", "2 ready"),
        ("stack.down()", "not started"),
    ):
        kernel.run(act)
        assert any(
            kind == "update_display_data" and sign in data.get("text/html", "")
            for kind, data in pages
        ), act


def test_one_picture_is_kept_true(kernel: Kernel) -> None:
    """A cell that is run again and again must not leave a thread behind each time."""
    kernel.run("stack.up()")
    for _ in range(3):
        kernel.run("display(stack)")
    kernel.run("import time; time.sleep(2.5)")
    names = kernel.value("[t._target.__name__ for t in __import__('threading').enumerate() "
                         "if getattr(t, '_target', None)]")  # fmt: skip
    assert names.count("follow") == 1
    kernel.run("stack.down()")


def test_a_kept_run_shows_one_moment(kernel: Kernel) -> None:
    """In an executed notebook that is kept, a picture from later would be a wrong one."""
    list(shown_by(kernel, 1.5))  # what the tests before still show
    kernel.run("stack.up(); import os; os.environ['LAB_HEADLESS'] = '1'")
    kernel.run("display(stack)")
    kernel.run("stack.down(); time.sleep(1.5)")
    updates = [data for kind, data in shown_by(kernel, 0.5) if kind == "update_display_data"]
    assert not [data for data in updates if "<svg" in data.get("text/html", "")]
