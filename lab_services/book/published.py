"""The claims of a published book, to be shown beside those that do not hold on this machine.

Each build writes the claims of its runs into the site; the file of the published site is given to
another build with `--published`.
"""

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from lab_services.book.from_run import provenance
from lab_services.errors import LabError
from lab_services.report import claims
from lab_services.report.claim import Verdict
from lab_services.runs.run import Run

FILE = "claims.json"


class _Measured(TypedDict):
    text: str


class _Row(TypedDict):
    text: str
    kind: str
    rival: str
    bound: str
    verdict: str
    reason: str
    measured: _Measured


class PublishedLab(TypedDict):
    """One lab of a published book."""

    provenance: str  # when and where it was measured
    claims: list[_Row]


def write(runs: Iterable[Run], site: Path) -> None:
    """Write the claims of these runs into a site, by lab."""
    found = {run.lab: {"provenance": provenance(run), "claims": run.claims} for run in runs}
    (site / FILE).write_bytes(msgspec.json.encode(found))


def read(file: Path) -> dict[str, PublishedLab]:
    """What `write` wrote. Raises LabError for another file."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, PublishedLab])
    except (OSError, msgspec.MsgspecError) as error:
        raise LabError(
            f"{file} does not hold the claims of a book: {error}",
            f"Give the {FILE} of a book of this version: it lies beside the first page.",
        ) from None


def beside(run: Run, entry: dict[str, Any] | None) -> str:
    """What a published book says, in HTML, of the claims of a lab that do not hold in this run."""
    if entry is None:
        return ""
    doubtful = {row["text"] for row in run.claims if row["verdict"] != Verdict.HOLDS}
    rows = [row for row in entry["claims"] if row["text"] in doubtful]
    if not rows:
        return ""
    where = f"The same in the published book, {html.escape(entry['provenance'])}:"
    return f'<p style="margin-top:1em">{where}</p>{claims.table(rows)}'
