"""Repairs: exercises in which the running stack is mended, and traffic says whether it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isnan
from typing import Any

from IPython.display import display

from lab_services.report import numbers
from lab_services.report.exercise import MIME, Exercise, Outcome
from lab_services.report.stats import Interval
from lab_services.report.windows import window
from lab_services.traffic.recording import Recording

Action = Callable[[], object]


class Verdict(StrEnum):
    """What traffic says of a stack after a repair."""

    MENDED = "mended"
    BROKEN = "broken"
    UNDECIDED = "undecided"


class Repair:
    """An exercise whose answer is a function that mends the running stack.

    >>> in_time = Repair(
    ...     "3", level="on call", minutes=10,
    ...     broken=lambda: stack.scale("predictor", 1),
    ...     send=lambda: traffic.send(requests, arrivals, title="is it mended?"),
    ...     judge=report.Answered(deadline), at_least=0.9,
    ...     wrong=[(start_again, "It comes back with the queue that it had.")],
    ...     hint="What is the tightest place?",
    ... )
    >>> in_time.check(my_repair)      # a function without arguments, or None
    Exercise 3 (on call, 10 minutes): right. 98 % (96 to 99 %), and at least 90 % was asked for.

    `broken` brings the stack into the state that is to be mended, whatever was done to it before;
    `send` sends traffic, and `judge` says of its recording what must come to `at_least`: all of the
    interval for a stack that is mended, nothing of it for one that is not. Anything between, a
    recording with a note and too few requests decide nothing. `wrong` has plausible repairs, each
    with the sentence why it does not mend this. Raises ValueError as `Exercise` does.
    """

    def __init__(
        self,
        name: str,
        *,
        level: str,
        minutes: int,
        broken: Action,
        send: Callable[[], Recording],
        judge: Callable[[Recording], Interval],
        at_least: float,
        wrong: Sequence[tuple[Action, str]],
        hint: str,
    ) -> None:
        if not wrong:
            raise ValueError(
                f"Exercise {name}: name a plausible repair that does not mend it, with the "
                "sentence why: wrong=[(start_again, 'it comes back with the same queue')]."
            )
        # What both kinds say of themselves, and what they refuse, is said once.
        self._asked = Exercise(
            name, level=level, minutes=minutes, wrong=wrong, right=callable, hint=hint
        )
        self.name = name
        self._broken, self._send, self._judge = broken, send, judge
        self._at_least = at_least
        self._hint = hint

    def check(self, repair: object) -> Outcome:
        """Break the stack, repair it, send traffic, and say whether it is mended."""
        if repair is None:
            return Outcome(f"{self._asked}: your turn.")
        if not callable(repair):
            return Outcome(
                f"{self._asked}: not yet. Give a function without arguments and do not call it: "
                "check(my_repair)."
            )
        found, _ = self._tried(repair)
        told = f"{found}, and at least {self._asked_for(found)} was asked for"
        match self._verdict(found):
            case Verdict.MENDED:
                return Outcome(f"{self._asked}: right. {told}.")
            case Verdict.BROKEN:
                return Outcome(f"{self._asked}: not yet. {told}.\n{self._hint}")
            case Verdict.UNDECIDED:
                why = f" ({found.note})" if found.known and found.note else ""
                return Outcome(
                    f"{self._asked}: undecided. {told}{why}. Check again with nothing else running."
                )

    def prove(self, right: Action) -> None:
        """Try it untouched, with each wrong repair, with the right one, and without traffic.

        Each run of the lab does this. The stack is left mended. A verdict that is the wrong one is
        the fault of the check; one that is undecided where it should not be lacks evidence. Both
        are kept with the run and are no error of the cell.
        """
        trials = []

        def tried(label: str, repair: Action, due: Verdict, why: str = "") -> Recording:
            found, recording = self._tried(repair)
            trials.append(Trial(label, found, self._verdict(found), due, why))
            return recording

        tried("untouched", _nothing, Verdict.BROKEN)
        for repair, why in self._asked.wrong:
            tried(_label(repair), repair, Verdict.BROKEN, why)
        mended = tried(_label(right), right, Verdict.MENDED)
        nobody = self._judge(window(mended, mended.begin, mended.begin))
        trials.append(Trial("without traffic", nobody, self._verdict(nobody), Verdict.UNDECIDED))
        display(Proved(self.name, tuple(trials)))  # type: ignore[no-untyped-call]

    def _tried(self, repair: Action) -> tuple[Interval, Recording]:
        self._broken()
        repair()
        recording = self._send()
        return self._judge(recording), recording

    def _verdict(self, found: Interval) -> Verdict:
        if found.note or isnan(found.low) or isnan(found.high):
            return Verdict.UNDECIDED
        if found.low >= self._at_least:
            return Verdict.MENDED
        return Verdict.BROKEN if found.high < self._at_least else Verdict.UNDECIDED

    def _asked_for(self, found: Interval) -> str:
        return numbers.rounded(self._at_least, found.unit)


@dataclass(frozen=True)
class Trial:
    """What came of one repair, and what should have."""

    label: str
    found: Interval
    verdict: Verdict
    due: Verdict
    why: str = ""

    def __str__(self) -> str:
        told = f"{self.label}: {self.verdict}, {self.found}"
        return f"{told}. {self.why}" if self.why else told


@dataclass(frozen=True)
class Proved:
    """All trials of a repair; `fault` is empty where none has the wrong verdict."""

    name: str
    trials: tuple[Trial, ...]

    @property
    def fault(self) -> str:
        """Each trial that came out wrong."""
        off = [t for t in self.trials if t.verdict not in (t.due, Verdict.UNDECIDED)]
        return "; ".join(f"{t.label} should be {t.due} and is {t.verdict} ({t.found})" for t in off)

    @property
    def lacks(self) -> str:
        """Each trial that could not be decided and should have been."""
        off = [t for t in self.trials if t.verdict is Verdict.UNDECIDED is not t.due]
        return "; ".join(f"{t.label} should be {t.due} and is undecided ({t.found})" for t in off)

    def __repr__(self) -> str:
        said = self.fault or self.lacks or "the repair is right"
        return "\n".join([f"Exercise {self.name}: {said}.", *map(str, self.trials)])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        kept = {
            "name": self.name,
            "fault": self.fault,
            "lacks": self.lacks,
            "trials": {trial.label: str(trial.verdict) for trial in self.trials},
        }
        return {"text/plain": repr(self), MIME: kept}


def _nothing() -> None:
    """What who is on call does at first."""


def _label(repair: Action) -> str:
    return str(getattr(repair, "__name__", repair)).replace("_", " ")
