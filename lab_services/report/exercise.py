"""Exercises: a check that tells right from wrong, and the proof that it does."""

from collections.abc import Callable, Sequence
from typing import Any

from lab_services.errors import LabError


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
        if answer is None:
            return False
        try:
            return bool(self._right(answer))
        except (TypeError, ValueError):
            return False

    def check(self, answer: Any) -> "Outcome":
        """Say whether the answer is right, and give a hint where it is not."""
        if answer is None:
            return Outcome(f"Exercise {self.name}: your turn.")
        if self.accepts(answer):
            return Outcome(f"Exercise {self.name}: right.")
        return Outcome(f"Exercise {self.name}: not yet. {self._hint}")

    def prove(self, solution: Any, wrong: Sequence[Any]) -> "Outcome":
        """Show that the check accepts the solution and none of the wrong answers.

        Every run of the lab does this, so that neither can rot. Raises LabError.
        """
        if not self.accepts(solution):
            raise LabError(f"Exercise {self.name}: its own solution {solution!r} is refused.")
        if not wrong:
            raise LabError(f"Exercise {self.name}: name a wrong answer that the check must refuse.")
        for answer in wrong:
            if self.accepts(answer):
                raise LabError(f"Exercise {self.name}: the wrong answer {answer!r} is accepted.")
        return Outcome(f"Exercise {self.name}: the solution is right.")


class Outcome(str):
    """What a check says; a notebook shows it without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
