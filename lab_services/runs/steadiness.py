"""How steady claims are: what the runs of a lab on several machines have found, put together."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_services.report.claim import Verdict
from lab_services.runs.notebook import Length

# The folder of all repeated runs, below that of kept runs.
FOLDER = "steady"
# Fewer values than these are told by their range: their standard deviation is itself a guess.
FEW = 5


@dataclass(frozen=True)
class Tally:
    """What some runs have found of a claim.

    `mean` and `spread` of the measured values are in `unit`; the spread is their standard deviation
    or, of fewer than FEW, their range. `room` says how far inside the nearest bound the mean lies,
    in spreads; below zero it lies outside. Each is None where it is not known, a spread also of
    fewer than two values.
    """

    drawn: int
    held: int
    failed: int
    lacked: int
    unit: str
    mean: float | None
    spread: float | None
    spread_is: str
    room: float | None

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> "Tally":
        """Of a claim's rows in the runs, at least one."""
        verdicts = Counter(row["verdict"] for row in rows)
        measured = [row for row in rows if row["measured"]["value"] is not None]
        values = [float(row["measured"]["value"]) for row in measured]
        mean = statistics.fmean(values) if values else None
        spread = None
        if len(values) >= 2:
            few = len(values) < FEW
            spread = max(values) - min(values) if few else statistics.stdev(values)
        inside = _inside(mean, [row["bounds"] for row in measured])
        return cls(
            drawn=len(rows),
            held=verdicts[Verdict.HOLDS],
            failed=verdicts[Verdict.FAILS],
            lacked=verdicts[Verdict.NOT_ENOUGH],
            unit=rows[-1]["measured"]["unit"],
            mean=mean,
            spread=spread,
            spread_is="range" if len(values) < FEW else "standard deviation",
            room=inside / spread if inside is not None and spread else None,
        )


@dataclass(frozen=True)
class ClaimRecord:
    """A claim with what all runs have found of it, and those on each profile."""

    text: str
    bound: str
    all: Tally
    on: Mapping[str, Tally]

    @property
    def worst(self) -> str:
        """The profile on which it held most seldom; of several the one with the least room.

        Nothing where there are several and no difference.
        """

        def badness(name: str) -> tuple[float, float, float]:
            found = self.on[name]
            room = float("inf") if found.room is None else found.room
            return found.held / found.drawn, -found.failed / found.drawn, room

        alike = len(self.on) > 1 and len({badness(name) for name in self.on}) == 1
        return "" if alike else min(self.on, key=badness)


def claims(runs: Iterable[Mapping[str, Any]]) -> list[ClaimRecord]:
    """Each claim that the kept runs make, and each exercise whose check has erred in one."""
    rows: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for run in runs:
        faults = [_row(text) for text in run["faults"]]
        for row in [*run["claims"], *faults]:
            rows.setdefault(row["text"], []).append((run["profile"], row))
    return [
        ClaimRecord(
            text,
            found[-1][1]["bound"],
            Tally.of([row for _, row in found]),
            {
                profile: Tally.of([row for name, row in found if name == profile])
                for profile in dict.fromkeys(name for name, _ in found)
            },
        )
        for text, found in rows.items()
    ]


def record_file(out: Path, lab: str) -> Path:
    """Where the record of a lab is, below the folder of all repeated runs."""
    return out / "records" / f"{lab}.json"


def in_words(record: Mapping[str, Any], runtime: str, claim: Mapping[str, Any]) -> str:
    """`held 24 of 24 runs on 5 profiles`, of a claim of a lab on a runtime.

    Of full length where there are such runs. Nothing where there are none, and where they were
    about a claim with another bound.
    """
    for length in (Length.FULL, Length.SHORT):
        repeated = record.get(runtime, {}).get(length, {"claims": {}})
        found = repeated["claims"].get(claim["text"])
        if found and found["bound"] == claim["bound"]:
            runs = "run" if found["drawn"] == 1 else "runs"
            on = len(found["profiles"])
            told = f"held {found['held']} of {found['drawn']} {runs} on {on} profile"
            return told if on == 1 else f"{told}s"
    return ""


def _row(text: str) -> dict[str, Any]:
    """A fault in the form of a claim."""
    measured = {"value": None, "unit": "", "text": ""}
    return {"text": text, "bound": "", "bounds": [None, None], "verdict": str(Verdict.FAILS)} | {
        "measured": measured
    }


def _inside(mean: float | None, bounds: Sequence[Sequence[float | None]]) -> float | None:
    """How far the mean lies inside the nearest bound; some labs measure their bounds, too."""
    if mean is None:
        return None
    least = [low for low, _ in bounds if low is not None]
    most = [high for _, high in bounds if high is not None]
    ends = ([mean - statistics.fmean(least)] if least else []) + (
        [statistics.fmean(most) - mean] if most else []
    )
    return min(ends, default=None)
