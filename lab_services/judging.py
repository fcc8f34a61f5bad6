"""Whether the claims of a lab hold on this machine.

A lab is measured once; where that speaks against a claim, or a cell fails, once more, at full
length. What speaks against it both times counts, unless the second time was disturbed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lab_services import paths
from lab_services.errors import LabError
from lab_services.execution import execute
from lab_services.report.claims import Verdict
from lab_services.report.notebook import Length
from lab_services.report.others import Others, watched
from lab_services.report.run import Run

# The labs whose claims have been proved steady, one a line.
STEADY = Path("labs/steady.txt")
# A second measurement that others have taken more of the machine from than this does not count.
DISTURBED = 0.1


class Outcome(StrEnum):
    """What measuring a lab has come to."""

    HOLDS = "every claim holds"
    LACKS = "not enough evidence"
    ONCE = "failed once, not again"
    DISTURBED = "fails, but was disturbed"
    TWICE = "a claim fails, twice"
    BROKEN = "a cell fails"


@dataclass(frozen=True)
class Judgement:
    """A lab on a runtime: its one or two runs, and what others did during the second."""

    lab: str
    runtime: str
    runs: tuple[Run, ...]
    others: Others | None = None

    @property
    def twice(self) -> list[str]:
        """What failed in both runs."""
        if len(self.runs) == 1:
            return []
        first, second = self.runs
        return [text for text in second.failing if text in first.failing]

    @property
    def outcome(self) -> Outcome:
        """What it has come to."""
        last = self.runs[-1]
        if last.failed:
            return Outcome.BROKEN
        if self.twice:
            disturbed = self.others is not None and self.others.share > DISTURBED
            return Outcome.DISTURBED if disturbed else Outcome.TWICE
        if len(self.runs) > 1:
            return Outcome.ONCE
        return Outcome.LACKS if last.lacking else Outcome.HOLDS


def judge(
    lab: str,
    runtime: str,
    out: Path,
    length: Length = Length.SHORT,
    run: Callable[..., Run] = execute,
) -> Judgement:
    """Measure a lab on a runtime (docker or process), and once more where it fails.

    Runs are kept below `out`, in a folder for each length. Raises LabError for a lab that makes no
    claim, and for what keeps it from being run at all.
    """
    first = run(lab, runtime, out / length, length=length)
    if not first.failed and not first.claims:
        raise LabError(f"{lab} makes no claim.", "A lab ends with claims.settle().")
    if not first.failed and not first.failing:
        return Judgement(lab, runtime, (first,))
    with watched() as others:
        second = run(lab, runtime, out / "again", length=Length.FULL)
    return Judgement(lab, runtime, (first, second), others)


def disagreements(runs: Iterable[Run]) -> list[str]:
    """The claims that hold in one of the runs and fail in another."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for claim in run.claims:
            found.setdefault(claim["text"], set()).add(claim["verdict"])
    return [text for text, verdicts in found.items() if {Verdict.HOLDS, Verdict.FAILS} <= verdicts]


def steady(root: Path | None = None) -> list[str]:
    """The labs on the list. Raises LabError for one that there is not."""
    root = root or paths.repository()
    lines = (line.partition("#")[0].strip() for line in (root / STEADY).read_text().splitlines())
    labs = [line for line in lines if line]
    for lab in labs:
        if not (root / "labs" / f"{lab}.ipynb").is_file():
            raise LabError(f"{STEADY} names {lab}, and there is no such lab.", "Correct the list.")
    return labs
