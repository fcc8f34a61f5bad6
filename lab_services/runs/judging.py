"""Whether the claims of a lab hold on this machine.

A lab is measured once; where a claim does not hold, once more, at full length. What does not hold
both times counts, unless the second time was disturbed. A run in which a cell fails is repeated at
its own length: a cell that fails both times is a fault of the software.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lab_services import paths
from lab_services.errors import LabError
from lab_services.report.claim import Verdict
from lab_services.runs.execution import execute
from lab_services.runs.notebook import Length
from lab_services.runs.others import Others, watched
from lab_services.runs.run import NothingToReplay, Run, RunMissing, execute_again

# The labs whose claims have been proved steady, one a line.
STEADY = Path("labs/steady.txt")
# A second measurement that others have taken more of the machine from than this does not count.
DISTURBED = 0.1


class Outcome(StrEnum):
    """What measuring a lab has come to."""

    HOLDS = "every claim holds"
    REPLAYED = "every claim holds, replayed"
    ONCE = "did not hold once, holds now"
    ANOTHER = "another claim the second time"
    DISTURBED = "does not hold, but was disturbed"
    LACKS = f"{Verdict.NOT_ENOUGH}, twice"
    TWICE = "a claim fails, twice"
    BROKEN = "a cell fails"


@dataclass(frozen=True)
class Judgement:
    """A lab on a runtime: its runs in their order, and what others did during the second length.

    A length that was run twice has a failing cell in its first run.
    """

    lab: str
    runtime: str
    runs: tuple[Run, ...]
    others: Others | None = None
    replayed: bool = False

    @property
    def measured(self) -> tuple[Run, ...]:
        """The runs that came to their end, one or two; none where a cell fails."""
        return () if self.runs[-1].failed else tuple(r for r in self.runs if not r.failed)

    @property
    def outcome(self) -> Outcome:
        """What it has come to."""
        if not self.measured:
            return Outcome.BROKEN
        first, *rest = self.measured
        if not rest:
            return Outcome.REPLAYED if self.replayed else Outcome.HOLDS
        (second,) = rest
        doubted = first.failing | first.lacking
        twice = [text for text in second.failing | second.lacking if text in doubted]
        if twice and self.others is not None and self.others.share > DISTURBED:
            return Outcome.DISTURBED
        if any(text in first.failing and text in second.failing for text in twice):
            return Outcome.TWICE
        if twice:
            return Outcome.LACKS
        return Outcome.ANOTHER if second.failing or second.lacking else Outcome.ONCE


def judge(
    lab: str,
    runtime: str,
    out: Path,
    length: Length = Length.SHORT,
    run: Callable[..., Run] = execute,
) -> Judgement:
    """Measure a lab on a runtime (docker or process), and once more where a claim does not hold.

    Runs are kept below `out`, in a folder for each measurement. Raises LabError for a lab that
    makes no claim, and for what keeps it from being run at all.
    """

    def through(folder: Path, length: Length) -> list[Run]:
        runs = [run(lab, runtime, folder, length=length)]
        if runs[0].failed:
            runs.append(run(lab, runtime, folder, length=length))
        return runs

    first = through(out / length, length)
    last = first[-1]
    if last.failed or not (last.failing or last.lacking):
        if not last.failed and not last.claims:
            raise LabError(f"{lab} makes no claim.", "A lab ends with claims.check().")
        return Judgement(lab, runtime, tuple(first))
    with watched() as others:
        second = through(out / "again", Length.FULL)
    return Judgement(lab, runtime, (*first, *second), others)


def judge_again(lab: str, runtime: str, out: Path, length: Length) -> Judgement | None:
    """Replay the run that `judge` has kept below `out`.

    None when there is nothing to replay, or a claim does not hold of it: then it is to be measured.
    """
    try:
        run = execute_again(Run.load(out / length / runtime / lab), lab, out / "replayed")
    except (RunMissing, NothingToReplay):
        return None
    return Judgement(lab, runtime, (run,), replayed=True) if run.ok else None


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
