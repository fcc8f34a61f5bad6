"""The page of running stacks, and the workspace that shows it beside a notebook."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import psutil
import pytest
from jupyter_server_proxy.config import ServerProcess

from lab_services.command import stacks_page, workspace
from lab_services.command.labs import notebooks
from tests.command.terminal import PREDICTOR, Terminal, wait_until

# A shell in between is the owner that can be killed without the tests.
OWNED = ("sh", "-c", '"$0" "$@" & wait')


class Page:
    """Asks as jupyter-server-proxy does, through the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, address: str) -> str:
        line = http.client.HTTPConnection("stacks", timeout=10)
        line.sock = socket.socket(socket.AF_UNIX)
        line.sock.connect(str(self.path))
        line.request("GET", address)
        answer = line.getresponse()
        assert answer.status == 200
        text = answer.read().decode()
        line.close()
        return text


@pytest.fixture
def owner(lab: Terminal) -> Iterator[subprocess.Popen[bytes]]:
    module = "lab_services.command.stacks_page"
    command = [*OWNED, sys.executable, "-m", module, str(lab.state / "page.sock")]
    process = subprocess.Popen(command, env=lab.environment)
    yield process
    process.kill()
    process.wait()


def test_the_page_follows_a_stack(lab: Terminal, owner: subprocess.Popen[bytes]) -> None:
    """A page that shows what was, or nothing of a fault; a link that leads nowhere."""
    page = Page(lab.state / "page.sock")
    wait_until(page.path.exists)
    assert "No stack runs" in page("/now")
    lab("up", str(PREDICTOR), "--runtime", "process")
    whole = page("/")
    assert whole.startswith("<!doctype html>") and "<svg" in whole
    text = page("/now")
    assert text in whole
    assert "ready: predictor 2/2" in text and "started by lab up" in text
    assert 'href="http://127.0.0.1:' in text
    lab("fault", "kill", "predictor", "--replica", "2")
    text = page("/now")
    assert "predictor 1/2" in text and "faults: kill predictor 2" in text
    lab("down")
    assert "No stack runs" in page("/now")


def test_the_page_goes_with_jupyterlab(lab: Terminal, owner: subprocess.Popen[bytes]) -> None:
    """A process that stays for each JupyterLab that was killed."""
    wait_until((lab.state / "page.sock").exists)
    (server,) = psutil.Process(owner.pid).children()
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    server.wait(10)


def test_jupyterlab_knows_the_page() -> None:
    """A page that no JupyterLab offers, is opened elsewhere, or keeps a hub's session alive."""
    (entry,) = entry_points(group="jupyter_serverproxy_servers", name=stacks_page.NAME)
    known = ServerProcess(name=entry.name, **entry.load()())
    assert known.unix_socket is True
    assert known.new_browser_tab is False
    assert known.update_last_activity is False
    assert known.launcher_entry.title == stacks_page.TITLE


def test_every_lab_has_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab that opens without its page; behind a hub, a page at an address of the hub's own."""
    root = next(iter(notebooks().values())).parents[2]
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    workspace.write(tmp_path, root)
    told = {saved["metadata"]["id"]: saved["data"] for saved in read(tmp_path)}
    assert set(told) == {lab.replace("/", "-") for lab in notebooks()}
    widgets = told["serving-web-single"]
    assert widgets["notebook:labs/serving/web-single.ipynb"]["data"]["factory"] == "Notebook"
    assert "'url': '/user/me/stacks/'" in str(widgets)
    shown = widgets["layout-restorer:data"]["main"]["dock"]["children"]
    assert {name for area in shown for name in area["widgets"]} <= set(widgets)


def read(folder: Path) -> list[dict[str, dict[str, dict[str, object]]]]:
    return [json.loads(file.read_text()) for file in folder.iterdir()]
