"""Latency, goodput and errors of recordings side by side, because none of them tells it alone."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab_services.report.stats import (
    ERRORS,
    P50,
    P95,
    P99,
    Goodput,
    Interval,
    Recorded,
    note,
    offered,
)


@dataclass(frozen=True)
class Summary:
    """A table: one row a label, one column a statistic."""

    rows: Mapping[str, Mapping[str, str]]

    def __repr__(self) -> str:
        lines = []
        for label, row in self.rows.items():
            cells = ", ".join(f"{head} {text}" for head, text in row.items())
            lines.append(f"{label}: {cells}" if label else cells)
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._html()}

    def _html(self) -> str:
        # One row a statistic: on a phone a table may grow downwards, but not sideways.
        cell = "padding:0.2em 0.6em;text-align:right"
        heads = "".join(
            f'<th scope="col" style="{cell}">{html.escape(label)}</th>' for label in self.rows
        )
        body = ""
        for head in dict.fromkeys(head for row in self.rows.values() for head in row):
            texts = "".join(
                f'<td style="{cell}">{html.escape(row.get(head, ""))}</td>'
                for row in self.rows.values()
            )
            body += f'<tr><th scope="row" style="{cell}">{html.escape(head)}</th>{texts}</tr>'
        return (
            '<div class="lab-summary" style="overflow-x:auto" tabindex="0">'
            '<table style="border-collapse:collapse;background:transparent;color:inherit">'
            f"<thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        )


def summary(recordings: Recorded | Mapping[str, Recorded], *, deadline: float) -> Summary:
    """p50, p95, p99, goodput and errors of one recording, or of several by label.

    `deadline` in seconds decides goodput. Quantiles that too few requests stand for say so.

    >>> summary({"one replica": a, "two": b}, deadline=0.1)
    """
    several = recordings if isinstance(recordings, Mapping) else {"": recordings}
    if not several:
        raise ValueError("There is no recording to sum up.")
    return Summary({label: _row(recording, deadline) for label, recording in several.items()})


def _row(recording: Recorded, deadline: float) -> dict[str, str]:
    sent = Interval.exact(offered(recording), "requests/s")
    row = {"offered": str(sent)}
    for head, statistic in {
        "p50": P50,
        "p95": P95,
        "p99": P99,
        "goodput": Goodput(deadline),
        "errors": ERRORS,
    }.items():
        row[head] = str(statistic(recording))
    told = note(recording)
    return row | ({"note": told} if told else {})
