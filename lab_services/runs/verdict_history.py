"""How often each claim has held, counted run after run: a file that grows with the nights.

Only first measurements at full length are counted: a second one is made because of what the first
has found, and would flatter the claim.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_services import writing
from lab_services.errors import LabError
from lab_services.report.claim import Verdict
from lab_services.runs.notebook import Length
from lab_services.runs.run import FILE, Run

# A claim that holds more seldom than this is a fault with a number.
EXPECTED = 0.99


@dataclass(frozen=True)
class Claimed:
    """A claim of a lab on a runtime: how often it was drawn, and how often it held or lacked
    evidence."""

    lab: str
    runtime: str
    text: str
    drawn: int
    held: int
    lacked: int

    @property
    def doubtful(self) -> bool:
        """Whether it holds more seldom than expected."""
        return self.held < EXPECTED * self.drawn


def kept(folder: Path) -> list[Run]:
    """The runs below `folder`, on either runtime, among them those that broke off, which `count`
    leaves out. Raises LabError for a damaged one."""
    return [Run.load(file.parent) for file in sorted(folder.glob(f"*/*/*/{FILE}"))]


def count(runs: Iterable[Run], file: Path) -> int:
    """Add to the counts in `file` what `runs` have found; gives the number of runs that counted.

    No run counts twice, nor one that is not of full length or in which a cell fails. A claim that
    a lab no longer makes is dropped, and one with another bound begins anew.
    """
    history = _read(file)
    counted = 0
    for run in runs:
        before = history.setdefault(run.lab, {}).setdefault(run.runtime, {"last": "", "claims": {}})
        if run.length is not Length.FULL or run.failed or run.data["when"] <= before["last"]:
            continue
        history[run.lab][run.runtime] = {
            "last": run.data["when"],
            "claims": {each["text"]: _added(before["claims"], each) for each in run.claims},
        }
        counted += 1
    # A line for each number: what a night has changed can be read in the file's history.
    text = json.dumps(history, indent=1, ensure_ascii=False, sort_keys=True)
    writing.whole(file, f"{text}\n")
    return counted


def _added(before: dict[str, Any], claim: dict[str, Any]) -> dict[str, Any]:
    old = before.get(claim["text"], {})
    if old.get("bound") != claim["bound"]:
        old = {"drawn": 0, "held": 0, "lacked": 0}
    return {
        "bound": claim["bound"],
        "drawn": old["drawn"] + 1,
        "held": old["held"] + (claim["verdict"] == Verdict.HOLDS),
        "lacked": old["lacked"] + (claim["verdict"] == Verdict.NOT_ENOUGH),
    }


def claimed(file: Path) -> Iterator[Claimed]:
    """Every claim that is counted in `file`. Raises LabError for a damaged file."""
    for lab, runtimes in _read(file).items():
        for runtime, found in runtimes.items():
            for text, n in found["claims"].items():
                yield Claimed(lab, runtime, text, n["drawn"], n["held"], n["lacked"])


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        return dict(json.loads(file.read_text()))
    except ValueError as error:
        raise LabError(
            f"{file} is damaged: {error}.", "Take the one before from its Git branch."
        ) from None
