"""Where a lab runs that is executed for the command line or for the book."""

from pathlib import Path
from typing import Any

import pytest

from lab_services.runs import execution, run


def test_who_names_a_runtime_gets_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """LAB_RUNTIME above `--runtime`: a book about containers made of runs on plain processes."""
    made: list[Any] = []
    monkeypatch.setattr(run, "execute", lambda lab, **how: made.append(how["runtime"]))
    monkeypatch.setenv("LAB_RUNTIME", "podman")
    execution.execute("serving/web-single", "process", tmp_path)
    monkeypatch.setenv("LAB_RUNTIME", "process")
    execution.execute("serving/web-single", "auto", tmp_path)
    assert made == ["process", "process"]
