"""The history of claims: what is counted, and what is shown."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lab_services.command.verdicts import verdicts
from lab_services.errors import LabError
from lab_services.runs.notebook import Length
from lab_services.runs.run import Run
from lab_services.runs.verdict_history import Claimed, claimed, count
from tests.runs.test_judging import FAILS, HOLDS, LAB, LACKS, claim, kept


def night(number: int, *claims: dict[str, Any], length: Length = Length.FULL, **more: Any) -> Run:
    run = kept(length, *claims, **more)
    return replace(run, data={**run.data, "when": f"2026-03-{number:02}T02:17:00+00:00"})


def test_draws_are_counted(tmp_path: Path) -> None:
    """A claim whose luck nobody sees; a lack of evidence that counts as holding."""
    file = tmp_path / "verdicts.json"
    assert count([night(1, claim("it gains", HOLDS), claim("so", HOLDS))], file) == 1
    assert count([night(2, claim("it gains", FAILS), claim("so", HOLDS))], file) == 1
    assert count([night(3, claim("it gains", LACKS), claim("so", HOLDS))], file) == 1
    gains, so = claimed(file)
    assert gains == Claimed(LAB, "process", "it gains", drawn=3, held=1, lacked=1)
    assert so == Claimed(LAB, "process", "so", drawn=3, held=3, lacked=0)
    assert gains.doubtful and not so.doubtful


def test_no_run_counts_twice(tmp_path: Path) -> None:
    """A night that is run again after it was counted."""
    file, run = tmp_path / "verdicts.json", night(2, claim("it gains", HOLDS))
    assert [count([run], file), count([run], file), count([night(1, *run.claims)], file)] == [
        1,
        0,
        0,
    ]
    assert [each.drawn for each in claimed(file)] == [1]


def test_short_and_broken_runs_do_not_count(tmp_path: Path) -> None:
    """Draws of another kind in one number."""
    file = tmp_path / "verdicts.json"
    short = night(1, claim("it gains", HOLDS), length=Length.SHORT)
    assert count([short, night(2, error=True)], file) == 0
    assert list(claimed(file)) == []


def test_another_claim_begins_anew(tmp_path: Path) -> None:
    """The luck of a bound that was moved; claims that nobody makes any more."""
    file = tmp_path / "verdicts.json"
    count([night(1, claim("it gains", FAILS), claim("gone", HOLDS))], file)
    count([night(2, {**claim("it gains", HOLDS), "bound": "at least 1×"})], file)
    assert list(claimed(file)) == [Claimed(LAB, "process", "it gains", 1, 1, 0)]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """A history that begins anew without a word."""
    file = tmp_path / "verdicts.json"
    file.write_text("{")
    with pytest.raises(LabError, match=r"verdicts\.json is damaged"):
        count([], file)


def test_the_doubtful_ones_are_shown(tmp_path: Path) -> None:
    """A claim that holds three times of four, which only a search in the file would show."""
    runs = tmp_path / "full"
    for number, verdict in enumerate((HOLDS, HOLDS, HOLDS, FAILS), start=1):
        folder = runs / "process" / LAB
        folder.mkdir(parents=True, exist_ok=True)
        run = night(number, claim("it gains", verdict), claim("so", HOLDS))
        (folder / "measurements.json").write_text(json.dumps(run.data))
        words = [str(tmp_path / "verdicts.json"), "--count", str(runs)]
        done = CliRunner().invoke(verdicts, words)
        assert done.exit_code == 0 and done.output.startswith("1 runs counted.\n")
    assert "1 of 2 claims hold in 99 % of their runs." in done.output
    assert done.output.splitlines()[-1].split()[:5] == ["3", "0", "4", LAB, "process"]
