"""`lab steady`: what it refuses, what it says, and that it goes on where it was."""

import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab_services.command.steady import steady
from lab_services.runs.profiles import Profile
from tests.command.terminal import NO_ENGINE, Terminal, wait_until
from tests.command.test_lab_run import FAILS, HOLDS, UNCLEAR, notebook

PLAIN = ("--runtime", "process", "--short")


def test_the_help_knows_every_profile() -> None:
    """A profile that nobody can ask for, because nothing says that there is one."""
    lines = CliRunner().invoke(steady, ["--help"]).output.splitlines()
    told = lines[lines.index("  Profiles:") + 1 : lines.index("  Exit codes:") - 1]
    assert [line.split()[0] for line in told] == list(Profile)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serving/web-singel",), "serving/web-single"),
        (("serving/web-single", "--profile", "bussy"), "Did you mean busy?"),
        (("serving/web-single", "--runs", "0"), "0 runs show nothing.\nAsk for one at least"),
        (("no.ipynb",), "There is no notebook no.ipynb"),
    ],
)
def test_bad_input_is_told_before_anything_is_measured(
    lab: Terminal, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """An hour of measuring before a slip of the keyboard is told, or a traceback."""
    ended = lab("steady", *words, *PLAIN, "--out", str(tmp_path / "steady"), fails=1)
    assert said in ended.stderr
    assert not (tmp_path / "steady").exists()


def test_docker_is_demanded_where_it_is_asked_for(lab: Terminal) -> None:
    """Plain processes measured, and reported as containers."""
    words = ("steady", "serving/web-single", "--runtime", "docker")
    assert "Docker cannot be used here" in lab(*words, fails=1, **NO_ENGINE).stderr


def test_a_lab_is_repeated_and_gone_on_with(lab: Terminal, tmp_path: Path) -> None:
    """Runs that are made again although they are kept; a report that leaves a profile out."""
    file = notebook(tmp_path, HOLDS, "claims.check()")
    out = tmp_path / "steady"
    words = ("steady", file, *PLAIN, "--profile", "quiet", "--out", str(out))
    told = lab(*words, "--runs", "2")
    assert told.stderr.count("1 holds") == 2
    assert "lab on process, short length" in told.stdout
    assert "2 of 2  0       0       2" in told.stdout
    again = lab(*words, "--runs", "2")
    assert "1 holds" not in again.stderr and again.stdout == told.stdout
    more = lab(*words, "--runs", "2", "--profile", "busy")
    assert more.stderr.count("1 holds") == 2
    assert "4 of 4" in more.stdout and "a process of ours spins on core" in more.stdout
    record = json.loads((out / "records/lab.json").read_text())["process"]["short"]
    assert record["claims"]["Two is more than one"]["held"] == 4
    assert list(record["profiles"]) == ["quiet", "busy"]


def test_no_run_begins_when_time_is_up(lab: Terminal, tmp_path: Path) -> None:
    """A night that is over before its labs are, and what it has measured lost with it."""
    words = ("steady", notebook(tmp_path, HOLDS, "claims.check()"), *PLAIN, "--profile", "quiet")
    out = ("--out", str(tmp_path / "steady"))
    told = lab(*words, *out, "--runs", "2", "--minutes", "0")
    assert "No time was left for 2 of the runs." in told.stderr
    assert "no run yet" in told.stdout
    assert not (tmp_path / "steady/kept").exists()


@pytest.mark.parametrize(
    ("cells", "code", "said"),
    [
        ((FAILS, "claims.check()"), 3, "lab on quiet: Two is more than one: 1 of 1 runs"),
        ((UNCLEAR, "claims.check()"), 4, "There was not enough evidence"),
        ((HOLDS, "claims.check()", "1 / 0"), 5, "on quiet: lab, cell 5: ZeroDivisionError"),
        (("1 + 1",), 1, "makes no claim"),
    ],
)
def test_the_exit_code_is_the_worst_that_was_found(
    lab: Terminal, tmp_path: Path, cells: tuple[str, ...], code: int, said: str
) -> None:
    """A lab that fails on one machine and is called steady."""
    words = ("--profile", "quiet", "--runs", "1", "--out", str(tmp_path / "steady"))
    ended = lab("steady", notebook(tmp_path, *cells), *PLAIN, *words, fails=code)
    assert said in ended.stderr
    if code in (3, 4):
        assert "Two is more than one, claimed at least 1:\n  quiet  0 of 1" in ended.stdout


def test_an_interrupt_loses_one_run(lab: Terminal, tmp_path: Path) -> None:
    """Hours of runs thrown away by Ctrl-C."""
    there = tmp_path / "there"
    waits = f"import os, time\nif os.path.exists({str(there)!r}): time.sleep(99)"
    file = notebook(tmp_path, HOLDS, waits, "claims.check()")
    words = ("steady", file, *PLAIN, "--profile", "busy", "--out", str(tmp_path / "steady"))
    lab(*words, "--runs", "1")
    there.touch()
    process = lab.begin(*words, "--runs", "2")
    wait_until((tmp_path / "steady/last/busy/process").exists)
    wait_until(lambda: list(tmp_path.glob("steady/last/busy/process/.lab*")))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err.endswith("Interrupted.\n"), out + err
    assert "1 of 1" in out
    there.unlink()
    told = lab(*words, "--runs", "2")
    assert told.stderr.count("1 holds") == 1 and "2 of 2" in told.stdout
