"""Exercises: a check that tells right from wrong, and the proof that it does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from IPython.display import display

MIME = "application/vnd.lab-services.exercise+json"


class Exercise:
    """One exercise of a lab.

    >>> saturation = Exercise("1", right=lambda rate: abs(rate / 80 - 1) < 0.1,
    ...                       hint="The busiest replica is busy for rate times service time.")
    >>> saturation.check(None)
    Exercise 1: your turn.
    >>> saturation.check(40)
    Exercise 1: not yet. The busiest replica is busy for rate times service time.
    >>> saturation.check(81)
    Exercise 1: right.

    `right` says whether an answer is right; an answer it cannot work with (it raises TypeError or
    ValueError) is wrong. None stands for no answer yet.
    """

    def __init__(self, name: str, *, right: Callable[[Any], bool], hint: str) -> None:
        self.name = name
        self._right = right
        self._hint = hint

    def accepts(self, answer: Any) -> bool:
        """Whether the answer is right."""
        return answer is not None and not self._refusal(answer)

    def _refusal(self, answer: Any) -> str:
        """Why the answer is not right; nothing where it is."""
        try:
            return "" if self._right(answer) else "the check says no"
        except (TypeError, ValueError) as error:
            return f"the check raises {type(error).__name__}: {error}"

    def check(self, answer: Any) -> "Outcome":
        """Say whether the answer is right, and give a hint where it is not."""
        if answer is None:
            return Outcome(f"Exercise {self.name}: your turn.")
        if self.accepts(answer):
            return Outcome(f"Exercise {self.name}: right.")
        return Outcome(f"Exercise {self.name}: not yet. {self._hint}")

    def prove(self, solution: Any, wrong: Sequence[Any]) -> None:
        """Show whether the check accepts the solution and none of the wrong answers.

        Every run of the lab does this, so that neither can rot. Checks lean on what was measured,
        so a refusal is kept with the run's claims and is no error of the cell. Raises ValueError
        without a wrong answer.
        """
        if not wrong:
            raise ValueError(f"Exercise {self.name}: name a wrong answer to be refused.")
        refusal = self._refusal(solution)
        fault = f"its own solution {solution!r} is refused ({refusal})" if refusal else ""
        for answer in wrong:
            if not fault and self.accepts(answer):
                fault = f"the wrong answer {answer!r} is accepted"
        display(Proof(self.name, fault))  # type: ignore[no-untyped-call]


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
