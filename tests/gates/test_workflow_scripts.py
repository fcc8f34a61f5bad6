"""The scripts that the workflows run: the one required check, the runs of the book, the history."""

import json
import os
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab_services import paths
from lab_services.git import git
from lab_services.runs.run import broken_off

GITHUB = paths.repository() / ".github"
refused = runpy.run_path(str(GITHUB / "gate.py"))["refused"]
lay = runpy.run_path(str(GITHUB / "lay_runs.py"))["lay"]


def needs(shards: str = '[{"shard": 1}]', **results: str) -> dict[str, Any]:
    """The context `needs` of a workflow where all jobs have passed but those named."""
    jobs = {name: {"result": "success", "outputs": {}} for name in ("plan", "labs", "test", "book")}
    jobs["plan"]["outputs"] = {"shards": shards}
    for name, result in results.items():
        jobs[name]["result"] = result
    return jobs


@pytest.mark.parametrize("result", ["failure", "cancelled", "skipped"])
@pytest.mark.parametrize("job", ["plan", "labs", "test", "book"])
def test_what_has_not_passed_is_refused(job: str, result: str) -> None:
    """A change merged while a job was cancelled, or skipped because another had failed."""
    assert refused(needs()) == {}
    assert refused(needs(**{job: result})) == {job: result}


def test_only_a_plan_without_labs_excuses_that_none_was_run() -> None:
    """A change to a page that can never be merged; labs left out because the plan failed."""
    assert refused(needs("[]", labs="skipped")) == {}
    assert refused(needs("[]", labs="failure")) == {"labs": "failure"}
    assert refused(needs("[]", test="skipped")) == {"test": "skipped"}
    failed = needs(plan="failure", labs="skipped")
    failed["plan"]["outputs"] = {}
    assert refused(failed) == {"plan": "failure", "labs": "skipped"}


def kept(
    folder: Path, place: str, *files: str, error: dict[str, str] | None = None
) -> dict[str, Any]:
    """Put a run there; gives what its measurements say, which tells the runs of folders apart."""
    for name in files:
        file = folder / place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(folder.name)
    said = {"of": folder.name, "error": error}
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / place / "measurements.json").write_text(json.dumps(said))
    return said


def test_later_runs_take_the_place_of_earlier_ones(tmp_path: Path) -> None:
    """A figure of one run beside the numbers of another; the shortest run shown, not the judged."""
    kept(tmp_path / "tests", "process/qa/one", "figures/old.svg")
    tests = json.dumps(kept(tmp_path / "tests", "process/qa/two"))
    short = json.dumps(kept(tmp_path / "short", "process/qa/one", "figures/new.svg"))
    kept(tmp_path / "short", "docker/qa/one")
    (tmp_path / "short/answers/docker/qa").mkdir(parents=True)
    (tmp_path / "short/answers/docker/qa/one.json").write_text("{}")
    book = tmp_path / "book"
    lay(book, [tmp_path / "tests", tmp_path / "short", tmp_path / "none"])
    found = {str(f.relative_to(book)): f.read_text() for f in book.rglob("*") if f.is_file()}
    assert found == {
        "process/qa/one/measurements.json": short,
        "process/qa/one/figures/new.svg": "short",
        "process/qa/two/measurements.json": tests,
        "docker/qa/one/measurements.json": short,
    }
    assert lay(book, [tmp_path / "none"]) == []


def test_a_run_that_broke_off_is_not_laid(tmp_path: Path) -> None:
    """A lab that is not there, built into the book's runs; a whole run replaced by half of one."""
    folder, book = tmp_path / "short", tmp_path / "book"
    kept(folder, "process/qa/one")
    kept(folder, broken_off(Path("process/qa/one")).as_posix(), error={"type": "ValueError"})
    assert lay(book, [folder]) == [f"process/qa/one of {folder}"]
    assert [file.parent.name for file in book.rglob("measurements.json")] == ["one"]


def verdicts(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GITHUB / "verdicts", *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_history_outlasts_the_nights(tmp_path: Path) -> None:
    """A first night that fails because there is no history, a second one that begins anew; an
    inherited GIT_DIR that leads into another repository."""
    remote, decoy = tmp_path / "re mote", tmp_path / "decoy"
    for folder in (remote, decoy):
        folder.mkdir()
        git(folder, "init", "--quiet", "--bare")
    led = {"GIT_DIR": str(decoy)}
    for night in ("one", "two"):
        folder = tmp_path / night
        told = verdicts("fetch", folder, remote, **led)
        assert told.returncode == 0, told.stdout
        before = folder / "verdicts.json"
        assert (before.read_text() if before.exists() else "") == ("" if night == "one" else "one")
        (folder / "answers").mkdir(exist_ok=True)
        (folder / "answers" / f"{night}.json").write_text("{}")
        if night == "two":  # a night without a run on other machines is one, too
            (folder / "steady").mkdir()
            (folder / "steady/record.json").write_text("{}")
        before.write_text(night)
        told = verdicts("keep", folder, remote, **led)
        assert told.returncode == 0, told.stdout
    assert verdicts("fetch", tmp_path / "plan", remote).returncode == 0
    assert sorted(f.name for f in (tmp_path / "plan/answers").iterdir()) == ["one.json", "two.json"]
    assert (tmp_path / "plan/steady/record.json").exists()
    assert git(decoy, "for-each-ref") == ""


def test_a_history_out_of_reach_is_not_taken_for_none(tmp_path: Path) -> None:
    """A plan that measures all labs, or a count that begins anew, because the network was down."""
    assert verdicts("fetch", tmp_path / "plan", tmp_path / "nowhere").returncode != 0
    assert verdicts("other", tmp_path / "plan", tmp_path / "nowhere").returncode == 2
