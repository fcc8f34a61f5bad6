"""What `lab open` starts."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab_services import paths
from lab_services.command.jupyterlab import open_lab


class Started(Exception):
    """In place of JupyterLab."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))


def started(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """The command line; the environment is restored after the test."""

    def execv(_program: str, command: list[str]) -> None:
        raise Started(*command)

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    ended = CliRunner().invoke(open_lab, words)
    assert isinstance(ended.exception, Started), ended.output
    return [str(word) for word in ended.exception.args]


def test_a_lab_is_opened_in_its_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own workspaces overwritten; a lab opened without its page."""
    command = started(monkeypatch, "serving/web-single", "--port", "8890")
    assert "--LabApp.default_url=/lab/workspaces/serving-web-single" in command
    assert f"--LabApp.workspaces_dir={paths.cache_dir() / 'workspaces'}" in command
    assert command[-2:] == ["--port", "8890"]
    assert not [word for word in started(monkeypatch) if "default_url" in word]


def test_in_codespaces_its_own_name_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A JupyterLab that refuses its own page there, or lets in the page of anybody."""
    assert not [word for word in started(monkeypatch) if "allow_origin" in word]
    monkeypatch.setenv("CODESPACE_NAME", "some-name")
    monkeypatch.setenv("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN", "app.github.dev")
    command = started(monkeypatch)
    pattern = r"--ServerApp.allow_origin_pat=https://some\-name-\d+\.app\.github\.dev"
    assert pattern in command
