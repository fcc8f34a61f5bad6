"""When a lab is measured again, and what its runs come to. No lab is run here."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab_services.errors import LabError
from lab_services.runs import judging
from lab_services.runs.judging import Judgement, Outcome, judge
from lab_services.runs.notebook import Length
from lab_services.runs.others import Others, _foreign, watched
from lab_services.runs.run import Run

LAB = "serving/small"
HOLDS, FAILS, LACKS = "holds", "fails", "not enough evidence"


def claim(text: str, verdict: str) -> dict[str, Any]:
    measured = {"text": "1.5× (1.4 to 1.6×)"}
    return {
        "text": text,
        "verdict": verdict,
        "measured": measured,
        "bound": "at least 2×",
        "reason": "" if verdict == HOLDS else "misses it",
    }


def kept(length: Length, *claims: dict[str, Any], fault: str = "", error: bool = False) -> Run:
    """A run as it would be kept."""
    broken = {"cell": 4, "type": "KeyError", "message": "'a'", "last": []}
    data = {
        "lab": LAB,
        "runtime": "process",
        "length": str(length),
        "claims": list(claims),
        "exercises": [{"name": "1", "fault": fault, "cell": 9}],
        "error": broken if error else None,
        "seconds": 2.0,
    }
    return Run(Path("runs"), data)


class Measured:
    """Stands in for the execution: gives prepared runs, one after the other."""

    def __init__(self, *makers: Any) -> None:
        self.makers = list(makers)
        self.asked: list[tuple[str, Length]] = []

    def __call__(self, lab: str, runtime: str, out: Path, length: Length) -> Run:
        self.asked.append((out.name, length))
        verdict, more = self.makers.pop(0)
        return kept(length, *[claim("it gains", v) for v in verdict.split("|") if v], **more)


SH, FU = ("short", Length.SHORT), ("again", Length.FULL)
BREAKS = ("", {"error": True})
ERRS = (HOLDS, {"fault": "is refused"})


@pytest.mark.parametrize(
    ("runs", "asked", "outcome"),
    [
        ([(HOLDS, {})], [SH], Outcome.HOLDS),
        ([(LACKS, {}), (HOLDS, {})], [SH, FU], Outcome.ONCE),
        ([(LACKS, {}), (LACKS, {})], [SH, FU], Outcome.LACKS),
        ([(FAILS, {}), (HOLDS, {})], [SH, FU], Outcome.ONCE),
        ([(FAILS, {}), (LACKS, {})], [SH, FU], Outcome.LACKS),
        ([(FAILS, {}), (FAILS, {})], [SH, FU], Outcome.TWICE),
        ([ERRS, ERRS], [SH, FU], Outcome.TWICE),
        ([ERRS, (FAILS, {})], [SH, FU], Outcome.ANOTHER),
        # A cell that fails is repeated at its own length, and counts when it fails again.
        ([BREAKS, (HOLDS, {})], [SH, SH], Outcome.HOLDS),
        ([BREAKS, BREAKS], [SH, SH], Outcome.BROKEN),
        ([BREAKS, (FAILS, {}), (FAILS, {})], [SH, SH, FU], Outcome.TWICE),
        ([(FAILS, {}), BREAKS, (FAILS, {})], [SH, FU, FU], Outcome.TWICE),
        ([(FAILS, {}), BREAKS, (HOLDS, {})], [SH, FU, FU], Outcome.ONCE),
        ([(FAILS, {}), BREAKS, BREAKS], [SH, FU, FU], Outcome.BROKEN),
    ],
)
def test_what_does_not_hold_is_measured_once_more(
    runs: Sequence[Any], asked: Sequence[Any], outcome: Outcome, tmp_path: Path
) -> None:
    """A claim that fails once and counts; one measured until it pleases; a broken lab let pass."""
    measured = Measured(*runs)
    found = judge(LAB, "process", tmp_path, run=measured)
    assert not measured.makers
    if found.others is not None:
        found.others.used = found.others.stolen = 0.0  # whatever else this machine does now
    assert found.outcome is outcome
    assert measured.asked == asked


@pytest.mark.parametrize("verdict", [FAILS, LACKS])
def test_a_disturbed_failure_does_not_count(verdict: str) -> None:
    """A verdict on a change that belongs to a neighbour of the machine."""
    runs = tuple(kept(length, claim("it gains", verdict)) for length in (Length.SHORT, Length.FULL))
    quiet = Judgement(LAB, "process", runs, Others(0.02, 0.03))
    assert quiet.outcome is (Outcome.TWICE if verdict == FAILS else Outcome.LACKS)
    assert Judgement(LAB, "process", runs, Others(0.12, 0.0)).outcome is Outcome.DISTURBED
    assert Judgement(LAB, "process", runs, Others(0.0, 0.12)).outcome is Outcome.DISTURBED


def test_another_claim_the_second_time_is_not_twice() -> None:
    """Two claims that fail once each, told as one that fails twice, or as one that holds now."""
    first = kept(Length.SHORT, claim("one", FAILS), claim("two", HOLDS))
    second = kept(Length.FULL, claim("one", HOLDS), claim("two", FAILS))
    assert Judgement(LAB, "process", (first, second), Others()).outcome is Outcome.ANOTHER


def test_a_lab_without_claims_is_not_judged(tmp_path: Path) -> None:
    """A lab of which every claim holds, because there is none."""
    with pytest.raises(LabError, match="makes no claim"):
        judge(LAB, "process", tmp_path, run=Measured(("", {})))


def test_runtimes_that_contradict_each_other_are_named() -> None:
    """A claim true in containers only; one that lacks evidence taken for a contradiction."""
    one = kept(Length.SHORT, claim("a", HOLDS), claim("b", HOLDS), claim("c", FAILS))
    other = kept(Length.SHORT, claim("a", FAILS), claim("b", LACKS), claim("c", FAILS))
    assert judging.disagreements([one, other]) == ["a"]


def test_the_list_of_steady_labs(tmp_path: Path) -> None:
    """A lab that stands on the list in vain, because its name is wrong."""
    (tmp_path / "labs/serving").mkdir(parents=True)
    (tmp_path / "labs/serving/small.ipynb").touch()
    (tmp_path / "labs/steady.txt").write_text("# proved\n\nserving/small  # 50 runs\n")
    assert judging.steady(tmp_path) == ["serving/small"]
    (tmp_path / "labs/steady.txt").write_text("serving/smal\n")
    with pytest.raises(LabError, match="names serving/smal, and there is no such lab"):
        judging.steady(tmp_path)
    assert judging.steady() is not None  # this checkout's own names only labs that there are


SPIN = "while True: pass"
START = f"""import subprocess, sys
nowhere = subprocess.DEVNULL
busy = subprocess.Popen([sys.executable, "-c", {SPIN!r}], stdout=nowhere, stderr=nowhere)
print(busy.pid)"""


def test_what_others_use_is_seen() -> None:
    """A busy machine taken for a quiet one; the measurement itself taken for a disturbance."""
    # Its parent has ended, so it is no child of this process.
    out = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    foreign = psutil.Process(int(out.stdout))
    try:
        begin, used = time.monotonic(), foreign.cpu_times().user
        with watched() as others:
            while foreign.cpu_times().user - used < 0.2:
                time.sleep(0.02)
        machine = (time.monotonic() - begin) * psutil.cpu_count()
        child = subprocess.Popen([sys.executable, "-c", SPIN])
        mine = {psutil.Process().pid, psutil.Process().ppid(), child.pid}
        watched_ones = {each.pid for each in _foreign()}
        child.kill()
        child.wait()
    finally:
        foreign.kill()
    assert others.used >= 0.19 / machine
    assert foreign.pid in watched_ones
    assert not mine & watched_ones
    assert "of this machine went to something else" in str(others)
