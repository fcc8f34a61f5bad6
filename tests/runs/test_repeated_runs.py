"""Runs that are repeated, and what is kept of them. No lab is run here."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab_services.errors import LabError
from lab_services.runs import repeated_runs as module
from lab_services.runs.notebook import Length
from lab_services.runs.profiles import Profile
from lab_services.runs.repeated_runs import RepeatedRuns
from lab_services.runs.run import Run
from lab_services.runs.steadiness import record_file
from tests.runs.test_judging import FAILS, HOLDS, claim, kept
from tests.runs.test_run import write


def measured(text: str, verdict: str) -> dict[str, Any]:
    row = claim(text, verdict)
    return row | {"measured": {"value": 1.5, "unit": "ratio", "text": "1.5×"}, "bounds": [2, None]}


class Lab:
    """A lab `gates/small` that is not executed: its runs are prepared."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "steady"
        self.file = write(folder, "1 + 1", short={"seconds": 1})
        self.asked: list[tuple[str, Path, Length]] = []

    def repeated(self, length: Length = Length.SHORT, runtime: str = "process") -> RepeatedRuns:
        return RepeatedRuns.of(self.out, str(self.file), runtime, length)

    def run(self, *verdicts: str, **more: Any) -> Any:
        def execute(lab: str, runtime: str, out: Path, *, length: Length) -> Run:
            self.asked.append((runtime, out, length))
            rows = [measured(f"claim {number}", v) for number, v in enumerate(verdicts)]
            made = kept(length, *rows, **more)
            when = f"2026-03-01T10:00:{len(self.asked):02}+00:00"
            told = {"lab": "gates/small", "when": when, "machine": {"cores": 2}}
            return replace(made, data={**made.data, **told})

        return execute


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_run_is_kept_by_all_that_it_depends_on(lab: Lab) -> None:
    """A run of other code, another length or the other runtime that counts as this one's."""
    repeated = lab.repeated()
    found = repeated.measure(Profile.QUIET, lab.run(HOLDS))
    assert (found["profile"], found["how"]) == ("quiet", "nothing was changed")
    assert lab.asked == [("process", lab.out / "last/quiet", Length.SHORT)]
    assert lab.repeated().runs(Profile.QUIET) == [found]
    assert not repeated.runs(Profile.BUSY)
    assert not lab.repeated(Length.FULL).runs(Profile.QUIET)
    assert not lab.repeated(runtime="docker").runs(Profile.QUIET)
    write(lab.file.parents[2], "1 + 2", short={"seconds": 1})
    assert not lab.repeated().runs(Profile.QUIET)
    write(lab.file.parents[2], "1 + 1", short={"seconds": 1})
    assert lab.repeated().runs(Profile.QUIET) == [found]


def test_runs_of_the_code_before_do_not_gather(lab: Lab) -> None:
    """A folder that grows with each change; another length taken for other code."""
    lab.repeated().measure(Profile.QUIET, lab.run(HOLDS))
    lab.repeated(Length.FULL).measure(Profile.BUSY, lab.run(HOLDS))
    write(lab.file.parents[2], "1 + 2", short={"seconds": 1})
    found = lab.repeated().measure(Profile.BUSY, lab.run(HOLDS))
    (short,) = lab.out.glob("kept/process/short/gates/small/*/*/*.json")
    assert lab.repeated().runs(Profile.BUSY) == [found] and short.parent.name == "busy"
    assert len(list(lab.out.glob("kept/process/full/**/*.json"))) == 1


def test_runs_stay_in_their_order(lab: Lab) -> None:
    """The tenth run before the second, or in its place."""
    for number in range(11):
        lab.repeated().measure(Profile.QUIET, lab.run(FAILS if number == 10 else HOLDS))
    # One that was removed is made again, after the others.
    (removed,) = lab.out.glob("kept/**/3.json")
    removed.unlink()
    lab.repeated().measure(Profile.QUIET, lab.run(HOLDS))
    verdicts = [run["claims"][0]["verdict"] for run in lab.repeated().runs(Profile.QUIET)]
    assert verdicts == [HOLDS] * 9 + [FAILS, HOLDS]


def test_an_interrupted_run_is_not_kept(lab: Lab) -> None:
    """Half a run that counts as one."""

    def interrupted(*words: Any, **more: Any) -> Run:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab.repeated().measure(Profile.QUIET, interrupted)
    assert not lab.repeated().runs(Profile.QUIET)


def test_the_record_holds_what_has_come_of_all(lab: Lab) -> None:
    """A record of the last command only, or of one runtime in the place of the other."""
    repeated = lab.repeated()
    repeated.measure(Profile.QUIET, lab.run(HOLDS, HOLDS))
    repeated.measure(Profile.BUSY, lab.run(HOLDS, FAILS))
    repeated.measure(Profile.BUSY, lab.run(HOLDS, HOLDS, error=True))
    lab.repeated(runtime="docker").measure(Profile.QUIET, lab.run(HOLDS))
    record = json.loads(record_file(lab.out, "gates/small").read_text())
    assert list(record) == ["process", "docker"]
    found = record["process"]["short"]
    assert found["key"] == repeated.key and found["when"].startswith("2026-03-01T10:00:03")
    assert {name: (p["runs"], p["broken"]) for name, p in found["profiles"].items()} == {
        "quiet": (1, 0),
        "busy": (2, 1),
    }
    assert found["profiles"]["busy"]["machine"] == {"cores": 2}
    second = found["claims"]["claim 1"]
    assert (second["drawn"], second["held"], second["failed"]) == (2, 1, 1)
    assert (second["worst"], second["profiles"]["busy"]["failed"]) == ("busy", 1)


def test_what_does_not_count_is_not_kept(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab that holds because it claims nothing; half of a repeated of other code."""
    repeated = lab.repeated()
    with pytest.raises(LabError, match="makes no claim"):
        repeated.measure(Profile.QUIET, lab.run())
    monkeypatch.setattr(module, "key", lambda lab: "another")
    with pytest.raises(LabError, match="was changed while it was measured"):
        repeated.measure(Profile.QUIET, lab.run(HOLDS))
    assert not repeated.runs(Profile.QUIET)


def test_a_damaged_file_is_named(lab: Lab) -> None:
    """A traceback of a parser in place of the file to remove."""
    lab.repeated().measure(Profile.QUIET, lab.run(HOLDS))
    (file,) = lab.out.glob("kept/**/1.json")
    file.write_text("{")
    with pytest.raises(LabError, match=r"1\.json is damaged.*\nRemove it"):
        lab.repeated().runs(Profile.QUIET)
