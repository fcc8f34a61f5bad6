"""Guesses: what a reader expects before a number is shown, and that number beside it."""

import html
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from IPython.display import display

from lab_services.report import numbers
from lab_services.report.claim import as_interval
from lab_services.report.exercise import said
from lab_services.report.measurements import as_json
from lab_services.report.stats import Interval

MIME = "application/vnd.lab-services.guess+json"

_EXAMPLE = 'reasons={"cores": "each replica has a core of its own", "shared": "both share two"}'
_HOW_TO_WRITE = {"share": " (0.1 is 10 %)", "ratio": " (2 is twice)", "s": " of seconds"}


class Guess:
    """A question of a lab with the reader's guess: a number, and the reason for it.

    >>> gain = Guess(
    ...     "By how much does the rate grow with two replicas?",
    ...     unit="ratio",
    ...     reasons={
    ...         "cores": "each replica has a core of its own",
    ...         "shared": "both share two cores with whoever sends",
    ...     },
    ...     mine=None,  # 1.0 means no gain
    ...     reason=None,
    ... )

    The question and all sentences are plain text. `reasons` are the mechanisms that people have in
    mind, wrong ones too, by a word that the reader writes into `reason`. Nothing in them tells
    which one is right: the sentences that do are given to `outcome`, below the measurement. `mine`
    is in `unit` (s, share, ratio, requests/s, or any word). Both may stay None: whoever guesses
    nothing is shown what was measured all the same.

    Raises ValueError for a reason that is not among them, for what is no number or cannot be one
    of this unit, and for a question with fewer than two reasons.
    """

    def __init__(
        self,
        question: str,
        *,
        reasons: Mapping[str, str],
        unit: str = "",
        mine: float | None = None,
        reason: str | None = None,
    ) -> None:
        if len(reasons) < 2 or not all(map(said, [*reasons, *reasons.values()])):
            raise ValueError(
                f"The guess {question!r} needs two reasons or more, each a word and what it stands "
                f"for: {_EXAMPLE}."
            )
        if mine is not None:
            _check_number(question, mine, unit)
        if reason is not None and reason not in reasons:
            raise ValueError(
                f"The guess {question!r} has no reason {reason!r}: write one of "
                f"{', '.join(map(repr, reasons))}, or None."
            )
        self.question = question
        self.unit = unit
        self.reasons = dict(reasons)
        self.mine = mine
        self.reason = reason

    def outcome(self, measured: Interval | int | None, because: Mapping[str, str]) -> None:
        """Show the guess beside what was measured, with the sentence for the reader's reason.

        `measured` is an interval, or an integer for what was counted; None is not known. `because`
        has a sentence for each of the reasons: what in the measurement speaks for or against it.
        The run keeps what is shown. Raises ValueError for a number that has lost its interval or is
        in another unit than the guess, and where a reason has no sentence.
        """
        found = as_interval(f"The guess {self.question!r}", measured)
        if found.unit not in ("", self.unit):
            raise ValueError(
                f"The guess {self.question!r} is in {self.unit!r} and what was measured in "
                f"{found.unit!r}. Ask in the unit of the interval, or give "
                f".scaled(1, {self.unit!r})."
            )
        told = {key: because.get(key, "") for key in self.reasons}
        if set(because) - set(told) or not all(map(said, told.values())):
            raise ValueError(
                f"The guess {self.question!r} needs a sentence for each of its reasons and for "
                f"nothing else: because={{{', '.join(f'{key!r}: …' for key in self.reasons)}}}."
            )
        display(Compared(self, replace(found, unit=found.unit or self.unit), told))  # type: ignore[no-untyped-call]

    def __repr__(self) -> str:
        reasons = "".join(f"\n  {key}: {text}" for key, text in self.reasons.items())
        return f"{self.question}\n{self.words}{reasons}"

    @property
    def words(self) -> str:
        """What the reader has guessed."""
        mine = "no number" if self.mine is None else numbers.rounded(self.mine, self.unit)
        if self.reason is None:
            return "no guess" if self.mine is None else mine
        return f"{mine}, because {self.reasons[self.reason]}"


@dataclass(frozen=True)
class Compared:
    """A guess, what was measured, and for each reason what that says of it."""

    guess: Guess
    measured: Interval
    because: Mapping[str, str]

    @property
    def side(self) -> str:
        """On which side of what was measured the guess lies; nothing where that is in doubt."""
        mine, found = self.guess.mine, self.measured
        if mine is None or not found.known or found.note or math.isinf(found.high - found.low):
            return ""
        if mine < found.low:
            return "too low"
        if mine > found.high:
            return "too high"
        return "just so" if found.low == found.high else "inside the interval"

    def __repr__(self) -> str:
        mine = self.guess.reason
        shown = self.because if mine is None else {mine: self.because[mine]}
        reasons = self.guess.reasons
        return "\n".join(
            [
                self.guess.question,
                *(f"{head}: {text}" for head, text in self._rows().items()),
                *(f"{reasons[key]}: {text}" for key, text in shown.items()),
            ]
        )

    def _rows(self) -> dict[str, str]:
        side = f" ({self.side})" if self.side else ""
        rows = {"your guess": f"{self.guess.words}{side}", "measured": str(self.measured)}
        if self.measured.known and self.measured.note:
            rows["but"] = self.measured.note
        return rows

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        kept = {
            "question": self.guess.question,
            "mine": None if self.guess.mine is None else float(self.guess.mine),
            "reason": self.guess.reason,
            "side": self.side,
            "measured": as_json(self.measured),
            "because": dict(self.because),
        }
        return {"text/plain": repr(self), "text/html": self._html(), MIME: kept}

    def _html(self) -> str:
        # Inline, because a notebook has no style sheet of ours.
        cell = "padding:0.2em 0.6em;text-align:left;vertical-align:top;white-space:normal"
        rows = "".join(
            f'<tr><th scope="row" style="{cell}">{head}</th>'
            f'<td style="{cell}">{html.escape(text)}</td></tr>'
            for head, text in self._rows().items()
        )
        mine = self.guess.reason
        own = "" if mine is None else f"<p>{html.escape(self.because[mine])}</p>"
        others = "".join(
            f"<li><em>{html.escape(text[0].upper() + text[1:])}?</em> "
            f"{html.escape(self.because[key])}</li>"
            for key, text in self.guess.reasons.items()
            if key != mine
        )
        return (
            '<div class="lab-guess" style="overflow-x:auto" tabindex="0">'
            f"<p><strong>{html.escape(self.guess.question)}</strong></p>"
            '<table style="border-collapse:collapse;background:transparent;color:inherit">'
            f"<tbody>{rows}</tbody></table>{own}"
            f"<details><summary>What others think, and what this run says of it</summary>"
            f"<ul>{others}</ul></details></div>"
        )


def _check_number(question: str, mine: object, unit: str) -> None:
    how = f"Write a number{_HOW_TO_WRITE.get(unit, f' of {unit}' if unit else '')}, or None."
    number = math.nan
    if not isinstance(mine, bool) and isinstance(mine, Real):
        with suppress(OverflowError):  # an integer that no float can be
            number = float(mine)
    if not math.isfinite(number):
        raise ValueError(f"The guess {question!r} is {mine!r}, which is no number. {how}")
    if unit == "share" and not -1 <= number <= 1:
        raise ValueError(f"The guess {question!r} is {mine!r}, which no share can be. {how}")
