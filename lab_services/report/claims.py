"""Statements about recordings, and whether this run bears them out."""

import html
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from IPython.display import display

from lab_services.report import numbers
from lab_services.report.measurements import as_json
from lab_services.report.stats import Interval

MIME = "application/vnd.lab-services.claims+json"


class Verdict(StrEnum):
    """What the run says of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_ENOUGH = "not enough evidence"


@dataclass(frozen=True)
class Claim:
    """A statement with what was measured and the bounds it must keep (in the measured unit)."""

    text: str
    measured: Interval
    least: float
    most: float

    @property
    def verdict(self) -> Verdict:
        """Holds where the whole interval keeps the bounds, fails where none of it does.

        Anything between is not enough evidence, and so is a measurement with a note (its
        traffic was not what was asked for) or without a known interval, and a bound that is not
        known because it was computed from what could not be measured.
        """
        low, high = self.measured.low, self.measured.high
        if math.isnan(low) or math.isnan(high) or self.measured.note or not self._bounded:
            return Verdict.NOT_ENOUGH
        if low >= self.least and high <= self.most:
            return Verdict.HOLDS
        if high < self.least or low > self.most:
            return Verdict.FAILS
        return Verdict.NOT_ENOUGH

    @property
    def _bounded(self) -> bool:
        ends = (self.least, self.most)
        return any(map(math.isfinite, ends)) and not any(map(math.isnan, ends))

    @property
    def bound(self) -> str:
        """The bounds in words: `at least 3.0×`."""
        if not self._bounded:
            return numbers.UNKNOWN
        least = numbers.rounded(self.least, self.measured.unit)
        most = numbers.rounded(self.most, self.measured.unit)
        if self.least == self.most:
            return f"exactly {least}"
        if math.isinf(self.most):
            return f"at least {least}"
        return f"at most {most}" if math.isinf(self.least) else f"{least} to {most}"

    @property
    def found(self) -> str:
        """What was measured, in words; why it is not known is the `reason`."""
        return str(self.measured) if self.measured.known else numbers.UNKNOWN

    @property
    def reason(self) -> str:
        """Why it does not hold, and by how much; nothing where it does."""
        verdict = self.verdict
        if verdict is Verdict.HOLDS:
            return ""
        if verdict is Verdict.NOT_ENOUGH:
            if self.measured.note:
                return self.measured.note
            if not self._bounded:
                return "the bound is not known"
            if math.isnan(self.measured.low) or math.isnan(self.measured.high):
                return "the interval is not known"
            return "the interval reaches over the bound"
        # The end that lies nearest to the bound: the least by which the claim is missed.
        missed = (
            self.least - self.measured.high
            if self.measured.high < self.least
            else self.measured.low - self.most
        )
        return f"misses the bound by at least {numbers.written(missed, self.measured.unit)}"


class Claims:
    """The claims of a lab.

    >>> claims = Claims()
    >>> claims.claim("A hit is at least 3 times faster", ratio(miss, hit, P50), at_least=3)
    >>> claims.verdicts()   # tag this cell nbval-check-output: no numbers, so runs compare
    >>> claims.check()     # the table
    """

    def __init__(self) -> None:
        self._claims: list[Claim] = []

    def claim(
        self,
        text: str,
        measured: Interval | float | None,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        between: tuple[float, float] | None = None,
    ) -> None:
        """State one claim about `measured`; the bound is in its unit and part of the claim.

        A plain number is taken as counted exactly; None and nan are not known. Raises ValueError
        without exactly one bound, or for a text already claimed.
        """
        bounds = {
            "at_least": None if at_least is None else (at_least, math.inf),
            "at_most": None if at_most is None else (-math.inf, at_most),
            "between": between,
        }
        given = [bound for bound in bounds.values() if bound is not None]
        if len(given) != 1:
            raise ValueError(f"The claim {text!r} needs exactly one of {', '.join(bounds)}.")
        (least, most) = given[0]
        if least > most:
            raise ValueError(f"The claim {text!r} has its bounds in the wrong order.")
        if any(claim.text == text for claim in self._claims):
            raise ValueError(f"{text!r} has been claimed already.")
        interval = measured if isinstance(measured, Interval) else Interval.exact(measured)
        self._claims.append(Claim(text, interval, least, most))

    def __iter__(self) -> Iterator[Claim]:
        return iter(tuple(self._claims))

    def __len__(self) -> int:
        return len(self._claims)

    def verdicts(self) -> None:
        """Print each claim's text and verdict, and no number: what must agree between runs.

        Where claims are not judged, the texts alone.
        """
        for claim in self._claims:
            print(f"{claim.verdict}: {claim.text}" if judged() else claim.text)  # noqa: T201  (the cell's output is its purpose)

    def check(self) -> None:
        """Show the table, which the run keeps; `lab run` exits non-zero unless every claim holds.

        A claim that fails is a result and no error: the exercises and the end of the stack, which
        come after it, are run all the same. Raises ValueError when nothing was claimed.
        """
        if not self._claims:
            raise ValueError("There are no claims to settle.")
        display(self)  # type: ignore[no-untyped-call]
        failing = sum(claim.verdict is Verdict.FAILS for claim in self._claims)
        if failing and judged():
            print(  # noqa: T201  (what a reader does next)
                f"Claims that fail here: {failing} of {len(self._claims)}. Was the machine busy "
                "with something else? `.venv/bin/lab prove` and this lab's name measures it twice."
            )

    def __str__(self) -> str:
        width = max((len(claim.verdict) for claim in self._claims), default=0)
        return "\n".join(
            f"{claim.verdict:<{width}}  {claim.text}: measured {claim.found}, "
            f"claimed {claim.bound}" + (f"; {claim.reason}" if claim.reason else "")
            for claim in self._claims
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {
            "text/plain": str(self),
            "text/html": table([as_row(claim) for claim in self._claims]),
            MIME: {"claims": [as_row(claim) for claim in self._claims]},
        }


def judged() -> bool:
    """Whether this run measures enough to judge by: LAB_JUDGED=0 says that it does not."""
    return os.environ.get("LAB_JUDGED") != "0"


def as_row(claim: Claim) -> dict[str, Any]:
    """A claim for the run's file."""
    return {
        "text": claim.text,
        "verdict": str(claim.verdict),
        "measured": as_json(claim.measured) | {"text": claim.found},
        "bound": claim.bound,
        # JSON has no infinity: an open end is null, and so is one that is not known.
        "bounds": [float(e) if math.isfinite(e) else None for e in (claim.least, claim.most)],
        "reason": claim.reason,
    }


def counted(rows: Iterable[Mapping[str, Any]]) -> str:
    """How many claims came to which verdict: `7 hold, 1 fails`."""
    found = Counter(row["verdict"] for row in rows)
    words = {
        Verdict.HOLDS: ("holds", "hold"),
        Verdict.FAILS: ("fails", "fail"),
        Verdict.NOT_ENOUGH: ("lacks evidence", "lack evidence"),
    }
    return ", ".join(f"{found[v]} {words[v][found[v] > 1]}" for v in Verdict if found[v])


def table(rows: list[dict[str, Any]]) -> str:
    """The claims as an HTML table that takes its colours from the page around it."""
    # Inline, because a notebook has no style sheet of ours; currentColor follows light and dark.
    cell = "padding:0.3em 0.6em;text-align:left;vertical-align:top;white-space:normal"
    line = "border-bottom:1px solid color-mix(in srgb, currentColor 30%, transparent)"
    head = "".join(
        f'<th scope="col" style="{cell}">{title}</th>'
        for title in ("Claim", "Measured (95 % interval)", "Verdict")
    )
    body = ""
    for row in rows:
        # What does not hold stands out.
        verdict = html.escape(row["verdict"])
        if row["verdict"] != Verdict.HOLDS:
            verdict = f"<strong>{verdict}</strong>"
        cells = (
            _cell(html.escape(row["text"]), row["bound"]),
            _cell(html.escape(row["measured"]["text"]), ""),
            _cell(verdict, row["reason"]),
        )
        body += f'<tr style="{line}">'
        body += "".join(f'<td style="{cell}">{each}</td>' for each in cells)
        body += "</tr>"
    return (
        '<div class="lab-claims" style="overflow-x:auto" tabindex="0">'
        '<table style="border-collapse:collapse;background:transparent;color:inherit">'
        f'<thead><tr style="{line}">{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(main: str, small: str) -> str:
    """A cell of HTML, and text below it in small."""
    return main + (f"<br><small>{html.escape(small)}</small>" if small else "")
