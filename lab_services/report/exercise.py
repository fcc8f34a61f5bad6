"""Exercises: a check that tells right from wrong, and the proof that it does."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from numbers import Integral, Real
from typing import Any

from IPython.display import display

MIME = "application/vnd.lab-services.exercise+json"

_PAIRS = "wrong=[(40, 'that is what one replica bears')]"
# Whoever rounds to two digits moves a number by 5 % at most.
_ROUNDED = 0.05


class Level(StrEnum):
    """What an exercise asks for: use a formula, choose a design, or act as whoever is on call."""

    APPLY = "apply"
    DESIGN = "design"
    ON_CALL = "on call"


class Exercise:
    """One exercise of a lab.

    >>> saturation = Exercise("1", level="apply", minutes=3,
    ...                       right=lambda rate: abs(rate / 80 - 1) < 0.1,
    ...                       wrong=[(40, "That is what one of the two replicas bears.")],
    ...                       hint="The busiest replica is busy for rate times service time.")
    >>> saturation.check(None)
    Exercise 1 (apply, 3 minutes): your turn.
    >>> saturation.check(40)
    Exercise 1 (apply, 3 minutes): not yet. That is what one of the two replicas bears.
    The busiest replica is busy for rate times service time.
    >>> saturation.check(81)
    Exercise 1 (apply, 3 minutes): right.

    `right` says whether an answer is right; an answer it cannot work with (it raises) is wrong.
    None stands for no answer yet. `wrong` has the typical wrong answers, each with a sentence why
    it is wrong, which whoever gives it is told: a count has to be the same, of other numbers the
    nearest counts, to within 5 %. `key` is what two answers are compared by, as for `sorted`: of a
    function, what it does. `level` is one of `Level`, `minutes` what a reader takes.
    Raises ValueError for a level that does not exist, for minutes that are no positive whole number
    and for a wrong answer without its sentence.
    """

    def __init__(
        self,
        name: str,
        *,
        level: str,
        minutes: int,
        right: Callable[[Any], bool],
        wrong: Sequence[tuple[Any, str]],
        hint: str,
        key: Callable[[Any], Any] = lambda answer: answer,
    ) -> None:
        self.name = name
        self.level = _level(name, level)
        self.minutes = _minutes(name, minutes)
        if not wrong:
            raise ValueError(
                f"Exercise {name}: name a wrong answer to be refused, with why it is wrong: "
                f"Exercise(…, {_PAIRS})."
            )
        for each in wrong:
            if not (isinstance(each, tuple) and len(each) == 2 and said(each[1])):
                raise ValueError(
                    f"Exercise {name}: {each!r} is no pair of a wrong answer and the sentence why "
                    f"it is wrong: {_PAIRS}."
                )
        self.wrong = tuple(wrong)
        self._right = right
        self._hint = hint
        self._key = key

    def accepts(self, answer: Any) -> bool:
        """Whether the answer is right."""
        return answer is not None and not self._refusal(answer)

    def _refusal(self, answer: Any) -> str:
        """Why the answer is not right; nothing where it is."""
        try:
            return "" if self._right(answer) else "the check says no"
        except Exception as error:  # noqa: BLE001 - the answer is the reader's, and may be anything
            return f"the check raises {type(error).__name__}: {error}"

    def check(self, answer: Any) -> "Outcome":
        """Say whether the answer is right, and where it is not, why, and a hint."""
        if answer is None:
            return Outcome(f"{self}: your turn.")
        if self.accepts(answer):
            return Outcome(f"{self}: right.")
        why = self._why(answer)
        return Outcome(f"{self}: not yet. {why}{chr(10) if why else ''}{self._hint}")

    def _why(self, answer: Any) -> str:
        """Why a typical wrong answer is wrong; nothing for any other."""
        try:
            given = self._key(answer)
            keys = [self._key(wrong) for wrong, _ in self.wrong]
            off = [_distance(given, key) for key in keys]
        except Exception:  # noqa: BLE001 - an answer of another kind is none of those
            return ""
        nearest = min(range(len(off)), key=lambda place: off[place], default=None)
        if nearest is None or off[nearest] > _ROUNDED:
            return ""
        return self.wrong[nearest][1]

    def prove(self, solution: Any) -> None:
        """Show whether the check accepts the solution and none of the wrong answers.

        Every run of the lab does this, so that neither can rot. Checks lean on what was measured,
        so a refusal is kept with the run's claims and is no error of the cell.
        """
        refusal = self._refusal(solution)
        fault = f"its own solution {solution!r} is refused ({refusal})" if refusal else ""
        for answer, _ in self.wrong:
            if not fault and self.accepts(answer):
                fault = f"the wrong answer {answer!r} is accepted"
        display(Proof(self.name, fault))  # type: ignore[no-untyped-call]

    def __str__(self) -> str:
        minutes = f"{self.minutes} minute{'s' if self.minutes > 1 else ''}"
        return f"Exercise {self.name} ({self.level}, {minutes})"


class Outcome(str):
    """What a check says; a notebook shows it without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Proof:
    """What was found of an exercise; `fault` is empty where its check tells right from wrong."""

    name: str
    fault: str

    def __repr__(self) -> str:
        return f"Exercise {self.name}: {self.fault or 'the solution is right'}."

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": repr(self), MIME: {"name": self.name, "fault": self.fault}}


def _level(name: str, level: str) -> Level:
    if level not in list(Level):
        raise ValueError(
            f"Exercise {name}: there is no level {level!r}; write one of "
            f"{', '.join(repr(str(each)) for each in Level)}."
        )
    return Level(level)


def _minutes(name: str, minutes: object) -> int:
    if isinstance(minutes, bool) or not isinstance(minutes, int) or minutes < 1:
        raise ValueError(
            f"Exercise {name}: minutes={minutes!r} is no number of minutes; write minutes=5."
        )
    return minutes


def said(why: object) -> bool:
    """Whether this is a sentence, or at least a word."""
    return isinstance(why, str) and bool(why.strip())


def _distance(given: Any, wrong: Any) -> float:
    """How far an answer is from this wrong one, as a share; 0 for the same, else infinite.

    Only numbers that are no counts come near to each other.
    """
    if isinstance(given, tuple) and isinstance(wrong, tuple):
        if len(given) != len(wrong):
            return math.inf
        return max([0.0, *map(_distance, given, wrong)])
    counts = isinstance(given, Integral) and isinstance(wrong, Integral)
    if isinstance(given, Real) and isinstance(wrong, Real) and not counts and given != wrong:
        # As a share of the larger: it is the same whichever of the two is the answer.
        a, b = float(given), float(wrong)
        return abs(a - b) / max(abs(a), abs(b))
    return 0.0 if given == wrong else math.inf
