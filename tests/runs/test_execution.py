"""Where a lab runs that is executed for the command line or for the book, and how much it takes."""

import time
from pathlib import Path
from typing import Any

import pytest

from lab_services.command.run import show
from lab_services.runs import execution, papermill_engine, run
from lab_services.runs.notebook import Length


def test_who_names_a_runtime_gets_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """LAB_RUNTIME above `--runtime`: a book about containers made of runs on plain processes."""
    made: list[Any] = []

    def execute(lab: str, **how: Any) -> run.Run:
        made.append(how["runtime"])
        return run.Run(tmp_path, {"error": None, "claims": []})

    monkeypatch.setattr(run, "execute", execute)
    monkeypatch.setenv("LAB_RUNTIME", "podman")
    execution.execute("serving/web-single", "process", tmp_path)
    monkeypatch.setenv("LAB_RUNTIME", "process")
    execution.execute("serving/web-single", "auto", tmp_path)
    assert made == ["process", "process"]


def test_a_memory_that_was_not_watched_to_the_end_is_not_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The peak of a run's first seconds, told as that of the whole run."""
    monkeypatch.setattr(papermill_engine, "_EVERY", 0.01)
    looks = iter([10_000_000_000])
    give_up = time.monotonic() + 10
    with papermill_engine.peak_memory(lambda: next(looks)) as peak:
        while peak.bytes is not None and time.monotonic() < give_up:
            time.sleep(0.01)
    assert peak.bytes is None
    assert "is not known: StopIteration()" in capsys.readouterr().err
    data = {"lab": "gates/small", "runtime": "process", "seconds": 61.0, "memory": peak.bytes}
    show(run.Run(tmp_path, data | {"claims": [], "length": "full"}))
    assert "gates/small on process: 61 s, memory not known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reasons", "length", "times"),
    [
        (["Disturbed: 40% of this machine went to something else.", ""], Length.SHORT, 2),
        (["Disturbed: the clock was set by 2 s."] * 9, Length.FULL, 3),
        (["Disturbed: the clock was set by 2 s."] * 9, Length.SHORTEST, 1),
        (["the interval reaches over the bound"], Length.FULL, 1),
    ],
)
def test_what_was_disturbed_is_measured_again(
    reasons: list[str],
    length: Length,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A verdict of a noisy minute; a lab that is measured until it pleases, or for ever."""
    left = list(reasons)

    def execute(lab: str, **how: Any) -> run.Run:
        return run.Run(tmp_path, {"error": None, "claims": [{"reason": left.pop(0)}]})

    monkeypatch.setattr(run, "execute", execute)
    execution.execute("serving/web-single", "process", tmp_path, length=length)
    assert len(reasons) - len(left) == times
    said = capsys.readouterr().err
    assert said.count("Measured again") == times - 1
    assert (reasons[0] in said) == (times > 1)
