"""Statements about recordings, and whether this run bears them out."""

import html
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partialmethod
from numbers import Real
from typing import Any

from IPython.display import display

from lab_services.report.claim import Claim, Kind, Verdict, as_interval, as_rival
from lab_services.report.measurements import as_json
from lab_services.report.stats import Interval

MIME = "application/vnd.lab-services.claims+json"


class Claims:
    """The claims of a lab.

    >>> claims = Claims()
    >>> claims.measured(
    ...     "A hit is at least 3 times faster",
    ...     ratio(miss, hit, P50),
    ...     at_least=3,
    ...     rival=("the network is what costs: a hit saves nothing", 1.0),
    ... )
    >>> claims.verdicts()   # tag this cell nbval-check-output: no numbers, so runs compare
    >>> claims.check()     # the table

    Each of the three methods states one claim and gives it its kind: `measured` on this run's
    services, `computed` on stored data, `replayed` with a seed. It is about an interval, or about a
    count, which is an integer; None and nan are not known. It has one bound, a number in the unit
    of what was found: `at_least`, `at_most` or `between` two. Its `rival` is another explanation in
    one sentence with what it predicts: a number or a pair of ends, or an interval where that comes
    from this run. A rival that predicts the bound itself is excluded by an interval that lies off
    that bound: so "no effect", 0, is the rival of a direction.

    All three raise ValueError for a claim without exactly one bound or without a rival, for one
    that holds where its rival is right, for a number that has lost its interval, for a measured
    bound in seconds or requests per second, and for a text already claimed.
    """

    def __init__(self) -> None:
        self._claims: list[Claim] = []

    def _state(
        self,
        kind: Kind,
        text: str,
        found: Interval | int | None,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        between: tuple[float, float] | None = None,
        rival: tuple[str, float | tuple[float, float] | Interval] | None = None,
    ) -> None:
        if sum(bound is not None for bound in (at_least, at_most, between)) != 1:
            raise ValueError(
                f"The claim {text!r} needs exactly one of at_least, at_most and between."
            )
        least = -math.inf if at_least is None else at_least
        most = math.inf if at_most is None else at_most
        ends = (least, most) if between is None else tuple(between)
        if len(ends) != 2 or not all(isinstance(end, Real) for end in ends):
            raise ValueError(
                f"The claim {text!r} has the bound {ends}: a bound is a number, between two. "
                "What was measured is no bound: divide by it with .over and bound the ratio."
            )
        if any(claim.text == text for claim in self._claims):
            raise ValueError(f"{text!r} has been claimed already.")
        interval = as_interval(f"The claim {text!r}", found)
        against = as_rival(text, rival, interval.unit)
        self._claims.append(Claim(text, kind, interval, *ends, against))

    measured = partialmethod(_state, Kind.MEASURED)
    computed = partialmethod(_state, Kind.COMPUTED)
    replayed = partialmethod(_state, Kind.REPLAYED)

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
            f"{claim.verdict:<{width}}  {claim.text}: found {claim.found}, "
            f"claimed {claim.bound}"
            + (f"; {claim.reason}" if claim.reason else "")
            + f"; rival: {claim.rival}"
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
        "kind": str(claim.kind),
        "rival": str(claim.rival),
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
        for title in ("Claim", "Found (95 % interval)", "Verdict")
    )
    body = ""
    for row in rows:
        # What does not hold stands out.
        verdict = html.escape(row["verdict"])
        if row["verdict"] != Verdict.HOLDS:
            verdict = f"<strong>{verdict}</strong>"
        cells = (
            _cell(html.escape(row["text"]), row["bound"], f"rival: {row['rival']}", row["kind"]),
            _cell(html.escape(row["measured"]["text"])),
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


def _cell(main: str, *small: str) -> str:
    """A cell of HTML, and lines below it in small."""
    return main + "".join(f"<br><small>{html.escape(each)}</small>" for each in small if each)
