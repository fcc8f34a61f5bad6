"""`lab plan`: which labs are proved on which machine, and what is said of the others."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lab_services.command import labs
from lab_services.command.plan import Planning, plan
from lab_services.command.prove import Proving
from lab_services.runs import inputs, judging, last_verdicts
from lab_services.runs.inputs import Inputs
from lab_services.runs.judging import Judgement
from lab_services.runs.last_verdicts import Answer
from lab_services.runs.notebook import Length
from lab_services.stack.choice import RUNTIMES
from tests.runs.test_judging import HOLDS, claim, kept

THERE = list(labs.notebooks())
LAB, OTHER = THERE[:2]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of a lab is its name; no lab is steady."""
    monkeypatch.setattr(inputs, "inputs", lambda lab, **_: Inputs((), f"key of {lab}"))
    monkeypatch.setattr(judging, "steady", list)


def answered(folder: Path, lab: str, *runtimes: str, **change: Any) -> None:
    """What a night has found: every claim held at full length."""
    for runtime in runtimes or RUNTIMES:
        told: dict[str, Any] = {
            "length": "full",
            "outcome": "every claim holds",
            "holds": True,
            "key": f"key of {lab}",
            "commit": "abc1234",
            "when": last_verdicts.now().isoformat(),
            "seconds": 200.0,
        }
        Answer(lab=lab, runtime=runtime, **told | change).keep(folder)


def planned(result: Result) -> list[str]:
    """The labs of all shards, as a workflow's `fromJSON` reads them."""
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    shards = json.loads(line)
    assert [each["shard"] for each in shards] == list(range(1, len(shards) + 1))
    assert all(set(each) == {"shard", "labs"} and each["labs"] for each in shards)
    return [lab for each in shards for lab in each["labs"].split()]


def test_all_labs_at_first(tmp_path: Path) -> None:
    """A first change, or a history that is lost, that measures nothing."""
    found = CliRunner().invoke(plan, ["--changed", "--shards", "5", "--out", str(tmp_path)])
    assert sorted(planned(found)) == sorted(THERE)
    assert len(json.loads(found.stdout)) == 5


def test_nothing_is_a_list_without_shards(tmp_path: Path) -> None:
    """A matrix that is refused because it is empty: `[]` is what the workflow asks for."""
    for lab in THERE:
        answered(tmp_path, lab)
    found = CliRunner().invoke(plan, ["--changed", "--out", str(tmp_path)])
    assert found.stdout == "[]\n"
    assert f"{LAB}: not run; last verdict: docker: every claim holds, commit abc" in found.stderr


@pytest.mark.parametrize(
    "change",
    [
        {"key": "another"},
        {"holds": False, "outcome": "not enough evidence, twice"},
        {"when": (last_verdicts.now() - timedelta(days=8)).isoformat()},
    ],
)
def test_what_does_not_stand_is_planned(tmp_path: Path, change: dict[str, Any]) -> None:
    """A change that no machine measures; an answer of one runtime that is taken for both."""
    for lab in THERE:
        answered(tmp_path, lab)
    answered(tmp_path, LAB, "process", **change)
    (tmp_path / f"answers/docker/{OTHER}.json").unlink()
    found = CliRunner().invoke(plan, ["--changed", "--out", str(tmp_path)])
    assert sorted(planned(found)) == sorted([LAB, OTHER])


def test_a_sample_steady_labs_and_named_ones_are_measured_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A steady lab that is never drawn again once it was lucky."""
    for lab in THERE:
        answered(tmp_path, lab)
    monkeypatch.setattr(judging, "steady", lambda: [LAB])
    words = [OTHER, "--changed", "--steady", "--sample", "3", "--out", str(tmp_path)]
    found = planned(CliRunner().invoke(plan, words))
    assert {LAB, OTHER} <= set(found) and len(set(found)) == len(found) == 5


def test_what_held_in_short_is_asked_again_in_full(tmp_path: Path) -> None:
    """A night that leaves labs out because a quick look has passed."""
    answered(tmp_path, LAB, length="short")
    now = last_verdicts.now()
    assert Planning(tmp_path, full=False, now=now).stands(LAB)
    assert not Planning(tmp_path, full=True, now=now).stands(LAB)


def test_the_last_run_tells_how_long_a_lab_takes(tmp_path: Path) -> None:
    """Shards of equal numbers of labs, of which one takes three times as long."""
    now = last_verdicts.now()
    full, short = (Planning(tmp_path, full=each, now=now) for each in (True, False))
    unknown = full.seconds(LAB), short.seconds(LAB)
    answered(tmp_path, LAB, seconds=500.0)
    assert full.seconds(LAB) == 1000
    assert short.seconds(LAB) == unknown[1], "short is a minute at most"
    answered(tmp_path, LAB, length="short", seconds=20.0)
    assert short.seconds(LAB) == 40
    assert full.seconds(LAB) == unknown[0]
    answered(tmp_path, LAB, seconds=None)  # as older answers have it
    assert (full.seconds(LAB), short.seconds(LAB)) == unknown


def test_proving_tells_the_next_plan_how_long_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that shares out by guesses for ever."""
    run = kept(Length.FULL, claim("it gains", HOLDS))
    monkeypatch.setattr(judging, "judge", lambda *words: Judgement(LAB, "docker", (run,)))
    Proving(tmp_path, full=True, steady=(), until=None).measure(LAB, "docker")
    last = last_verdicts.last(tmp_path, LAB, "docker")
    assert last is not None and last.seconds == run.data["seconds"] > 0
