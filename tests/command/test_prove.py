"""`lab prove`: which labs are measured, what is said of them, and when the command fails."""

import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lab_services.command import labs
from lab_services.command.prove import (
    ACellFails,
    Proving,
    SteadyClaimFails,
    _runtimes,
    choose,
    prove,
)
from lab_services.errors import LabError
from lab_services.runs import judging, last_verdicts
from lab_services.runs.judging import Judgement
from lab_services.runs.notebook import Length
from lab_services.runs.others import Others
from lab_services.stack import docker, engine
from tests.command.terminal import Terminal
from tests.runs.test_judging import FAILS, HOLDS, LAB, LACKS, claim, kept

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def test_each_lab_has_its_turn() -> None:
    """A lab that no day ever measures; one that is measured twice on one day."""
    there = set(labs.notebooks())
    sample, seen = 4, []
    for day in range(-(-len(there) // sample)):
        chosen = choose([], False, [], sample, DAY + timedelta(days=day))
        assert len(set(chosen)) == sample
        seen += chosen
    assert set(seen) == there
    first, *_ = sorted(there)
    chosen = choose([first], False, [first], sample, DAY)
    assert chosen.count(first) == 1 and len(chosen) == 1 + sample
    assert set(choose([], False, [], 1000, DAY)) == there == set(choose([], True, [], 0, DAY))


def test_an_unknown_lab_is_refused() -> None:
    """Minutes of measuring before a slip of the keyboard is told."""
    with pytest.raises(LabError, match="serving/web-single"):
        choose(["serving/web-singel"], False, [], 0, DAY)


def proving(*judged: Judgement, steady: tuple[str, ...] = ()) -> Proving:
    return Proving(Path("runs"), full=False, steady=steady, until=None, judged=list(judged))


def judgement(*runs: Any, others: float = 0.0) -> Judgement:
    return Judgement(LAB, "process", runs, Others(used=others) if len(runs) > 1 else None)


SHORT = kept(Length.SHORT, claim("it gains", FAILS), claim("it is", LACKS), claim("so", HOLDS))
FULL = kept(Length.FULL, claim("it gains", FAILS), claim("it is", HOLDS), claim("so", HOLDS))


def test_only_steady_labs_can_fail_it() -> None:
    """A gate that any lab turns red by chance, or that none does."""
    twice = judgement(SHORT, FULL)
    proving(twice).settle()
    with pytest.raises(SteadyClaimFails, match=f"{LAB} on process") as failed:
        proving(twice, steady=(LAB,)).settle()
    assert failed.value.exit_code == 3
    proving(judgement(SHORT, FULL, others=0.3), steady=(LAB,)).settle()
    good = kept(Length.FULL, claim("it gains", HOLDS))
    proving(judgement(SHORT, good), steady=(LAB,)).settle()
    little = judgement(
        *(kept(each, claim("it gains", LACKS)) for each in (Length.SHORT, Length.FULL))
    )
    proving(little).settle()
    with pytest.raises(SteadyClaimFails):
        proving(little, steady=(LAB,)).settle()


def test_a_cell_that_fails_is_software_in_every_lab() -> None:
    """A lab that does not run, excused because its claims are not steady yet."""
    broken = kept(Length.FULL, error=True)
    with pytest.raises(ACellFails, match="KeyError") as failed:
        proving(judgement(broken, broken)).settle()
    assert failed.value.exit_code == 5


def test_both_verdicts_are_shown() -> None:
    """A second measurement that replaces the first without a word."""
    text = proving(judgement(SHORT, FULL, others=0.125)).report()
    assert "1 holds, 1 fails, 1 lacks evidence; again: 2 hold, 1 fails" in text
    lines = text.splitlines()
    at = lines.index(f"{LAB} on process: it gains")
    assert lines[at + 1].startswith("  short: fails, found 1.5×")
    assert lines[at + 2].startswith("  full: fails, found 1.5×")
    at = lines.index(f"{LAB} on process: it is")
    assert lines[at + 1].startswith("  short: not enough evidence")
    assert lines[at + 2] == "  full: holds"
    assert "12% of this machine went to something else" in text


def test_runtimes_that_contradict_each_other_are_told() -> None:
    """A claim that is true in containers only, and stands in the book."""
    one = Judgement(LAB, "docker", (kept(Length.SHORT, claim("it gains", HOLDS)),))
    other = Judgement(LAB, "process", (SHORT,))
    assert "holds on one runtime and fails on the other: it gains" in proving(one, other).report()


def test_what_is_left_out_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A lab that was not measured, and whoever reads the report believes that it was."""
    late = Proving(tmp_path, full=False, steady=(), until=0.0)
    late.measure("serving/web-single", "process", in_time=True)
    assert "not run  no time was left; no verdict is kept here" in late.report()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("lab_services.stack.servers._WHEELS", {})
    monkeypatch.delenv("CI", raising=False)
    bare = proving()
    bare.measure("serving/web-single", "process")
    assert "not run  There is no program 'envoy' on this machine." in bare.report()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(LabError, match="There is no program 'envoy'"):
        bare.measure("serving/web-single", "process")


@pytest.mark.parametrize(
    ("change", "measured"),
    [
        ({}, False),
        ({"key": "another"}, True),
        ({"length": "full"}, True),
        ({"holds": False, "outcome": "not enough evidence"}, True),
        ({"when": (last_verdicts.now() - timedelta(days=8)).isoformat()}, True),
    ],
)
def test_an_answer_stands_for_a_week(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: dict[str, Any], measured: bool
) -> None:
    """A lucky draw that is good for ever, a failure that is kept, an answer about other code."""
    name, asked = "serving/web-single", []

    def judge(lab: str, runtime: str, out: Path, length: Length) -> Judgement:
        asked.append(lab)
        return Judgement(lab, runtime, (kept(length, claim("it gains", HOLDS)),))

    monkeypatch.setattr(judging, "judge", judge)
    first = Proving(tmp_path, full=False, steady=(), until=None)
    first.measure(name, "docker", unless_it_stands=True)
    found = last_verdicts.last(tmp_path, name, "docker")
    assert found is not None and found.holds and asked == [name]
    replace(found, **change).keep(tmp_path)
    again = Proving(tmp_path, full=False, steady=(), until=None)
    again.measure(name, "docker", unless_it_stands=True)
    assert len(asked) == 1 + measured
    if not measured:
        told = f"not run  nothing that it executes has changed; last verdict: {found}"
        assert told in again.report()
    again.measure(name, "docker")  # who names a lab has it measured
    assert len(asked) == 2 + measured


@pytest.mark.parametrize(
    ("change", "holds", "measured"),
    [
        ({"key": "another"}, True, False),
        ({"key": "another"}, False, True),
        ({"key": "another", "measuring": "another"}, True, True),
        (
            {"key": "another", "when": (last_verdicts.now() - timedelta(days=8)).isoformat()},
            True,
            True,
        ),
    ],
)
def test_where_only_the_analysis_has_changed_a_run_is_replayed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    change: dict[str, Any],
    holds: bool,
    measured: bool,
) -> None:
    """Minutes of measuring for another chart; an old run replayed for ever; a claim that does not
    hold of a replay and is not measured."""
    name, asked = "serving/web-single", []
    run = kept(Length.SHORT, claim("it gains", HOLDS))

    def judge(lab: str, runtime: str, out: Path, length: Length) -> Judgement:
        asked.append(lab)
        return Judgement(lab, runtime, (run,))

    def judge_again(lab: str, runtime: str, out: Path, length: Length) -> Judgement | None:
        return Judgement(lab, runtime, (run,), replayed=True) if holds else None

    monkeypatch.setattr(judging, "judge", judge)
    monkeypatch.setattr(judging, "judge_again", judge_again)
    first = Proving(tmp_path, full=False, steady=(), until=None)
    first.measure(name, "docker", unless_it_stands=True)
    before = last_verdicts.last(tmp_path, name, "docker")
    assert before is not None
    replace(before, **change).keep(tmp_path)
    again = Proving(tmp_path, full=False, steady=(), until=None)
    again.measure(name, "docker", unless_it_stands=True)
    assert len(asked) == 1 + measured
    after = last_verdicts.last(tmp_path, name, "docker")
    assert after is not None and after.key == before.key and after.holds
    if not measured:
        assert "every claim holds, replayed" in again.report()
        assert after.when == before.when  # the measurement's own day


def test_a_damaged_answer_is_named(tmp_path: Path) -> None:
    """A traceback of a parser in place of the file to remove."""
    file = tmp_path / "answers/docker/serving/web-single.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    with pytest.raises(LabError, match=r"web-single\.json is damaged"):
        last_verdicts.last(tmp_path, "serving/web-single", "docker")


def test_the_commit_is_that_of_this_checkout(tmp_path: Path) -> None:
    """An answer of another repository, to which a Git hook has led; a change that is not told."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    for name in ("here", "elsewhere"):
        git = ["git", "-C", tmp_path / name, "-c", "user.name=a", "-c", "user.email=a@b"]
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", name]):
            subprocess.run([*git, *words], env=clean, check=True)
    led = {**os.environ, "GIT_DIR": str(tmp_path / "elsewhere/.git")}
    found = last_verdicts.commit(tmp_path / "here", led)
    assert found != last_verdicts.commit(tmp_path / "elsewhere") and "changes" not in found
    (tmp_path / "here/file").write_text("changed")
    assert last_verdicts.commit(tmp_path / "here", led) == f"{found} with changes"
    (tmp_path / "none").mkdir()
    assert (
        last_verdicts.commit(tmp_path / "none", {**led, "GIT_CEILING_DIRECTORIES": "/"}) == "none"
    )


def test_docker_is_demanded_where_it_is_asked_for(
    lab: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what was asked for, measured without a word."""
    assert "Name labs, or say --all" in lab("prove", fails=2).stderr
    monkeypatch.setattr(judging, "steady", list)  # nothing is measured here
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    words = ["--steady", "--runtime", "both"]
    monkeypatch.setenv("CI", "")
    assert "plain processes alone" in CliRunner().invoke(prove, words).output
    monkeypatch.setenv("CI", "true")
    refused = CliRunner().invoke(prove, words).exception
    assert isinstance(refused, LabError) and "Docker cannot be used here" in str(refused)


def test_what_is_asked_for_is_above_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer about containers from a run on plain processes, because LAB_RUNTIME came first."""
    monkeypatch.setenv("LAB_RUNTIME", "process")
    monkeypatch.setattr(engine, "available", lambda: (True, "its engine answers"))
    monkeypatch.setattr(docker, "available", lambda: (True, "its engine answers"))
    assert _runtimes("auto") == ["process"]
    assert _runtimes("docker") == ["docker"]
    assert _runtimes("both") == ["docker", "process"]


def test_steady_labs_are_measured_however_late(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A steady lab that time left out, in a gate that is green; a report lost with an error."""
    name, asked = "serving/web-single", []

    def judge(lab: str, runtime: str, out: Path, length: Length) -> Judgement:
        asked.append(lab)
        if lab != name:
            raise LabError("no engine")
        return Judgement(lab, runtime, (kept(length, claim("it gains", HOLDS)),))

    monkeypatch.setattr(judging, "judge", judge)
    monkeypatch.setattr(judging, "steady", lambda: [name])
    words = ["--steady", "--sample", "1", "--runtime", "process", "--out", str(tmp_path)]
    done = CliRunner().invoke(prove, [*words, "--minutes", "0"])
    assert asked == [name] and done.exit_code == 0, done.output
    assert "no time was left" in done.output
    done = CliRunner().invoke(prove, words)
    assert isinstance(done.exception, LabError)
    assert f"{name}  process  steady  every claim holds" in done.output


def test_the_list_is_of_this_checkout() -> None:
    """A gate that looks for its list somewhere else, finds none and passes."""
    assert (Path(labs.paths.repository()) / judging.STEADY).is_file()
