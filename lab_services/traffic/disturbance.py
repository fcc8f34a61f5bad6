"""What the machine did besides while traffic was sent, and whether a measurement bears it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = (
    "begin",
    "seconds",
    "stolen",
    "foreign",
    "throttled",
    "jumped",
    "swapped",
    "stood_still",
)
DISTURBED = "Disturbed"  # how a note of it begins
_UNSEEN = {
    "stolen": "time that a host takes for itself",
    "foreign": "what other programs use",
    "throttled": "whether a quota holds this process back",
    "swapped": "whether memory is swapped",
}
_ADJACENT = 1e-3  # seconds between the end of a slice and the begin of the next, by two clocks
_TAKERS = ("stolen", "foreign")
# A slice of time is disturbed from here on: by a quarter of the machine, of the time, or of a
# second that the clock went wrong by a fifth; by as many pages as no idle machine swaps.
_SHARE = 0.25
_JUMP = 0.05  # seconds
_SWAPPED = 4 * 2**20  # bytes
# A p95 is of the slowest twentieth: so much of the time may decide it.
_OF_THE_TIME = 0.05
# Many small pieces count as well, from what makes a latency visibly longer.
_IN_ALL = 0.1


@dataclass(frozen=True, eq=False)
class Disturbance:
    """What else the machine did, slice by slice of about a quarter of a second.

    `table` has a row for each slice with the columns

    - `begin`: Unix seconds; `seconds`: how long it lasts
    - `stolen`, `foreign`: shares of the machine's processor time that its host kept for itself, and
      that went to processes which belong neither to a stack, nor to the traffic, nor to this kernel
    - `throttled`: the share of the time for which a quota held this process's control group back
    - `jumped`: seconds by which the clock was set; `swapped`: bytes read from or written to swap
    - `stood_still`: seconds for which a generator was not run, as on a machine that is paused

    What cannot be seen on a machine is nan there. `culprits` are other programs by their names,
    with the seconds of processor time that each used in disturbed slices.
    """

    table: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=[*COLUMNS], dtype=float)
    )
    culprits: Mapping[str, float] = field(default_factory=dict)

    @property
    def unseen(self) -> list[str]:
        """What this machine does not tell, in words; nothing where nothing was watched."""
        return [
            words
            for column, words in _UNSEEN.items()
            if len(self.table) and self.table[column].isna().all()
        ]

    def spans(self) -> list[tuple[float, float]]:
        """From when to when the machine was disturbed, in Unix seconds, neighbours joined."""
        found: list[tuple[float, float]] = []
        disturbed = self.table[self._disturbed]
        begins = disturbed["begin"].to_numpy(dtype=float)
        for begin, end in zip(begins, begins + disturbed["seconds"].to_numpy(), strict=True):
            if found and begin - found[-1][1] < _ADJACENT:
                begin = found.pop()[0]
            found.append((float(begin), float(end)))
        return found

    def within(self, begin: float, end: float) -> "Disturbance":
        """The slices that reach into a time, Unix seconds."""
        inside = (self.table["begin"] + self.table["seconds"] > begin) & (self.table["begin"] < end)
        return Disturbance(self.table[inside].reset_index(drop=True), self.culprits)

    @property
    def note(self) -> str:
        """What disturbed a measurement by more than it bears, in words; else nothing.

        It bears a twentieth of its time in disturbed slices, and a tenth of the machine in all.
        """
        table = self.table
        seconds = table["seconds"]
        if not len(table):
            return ""
        taken = _mean(self._taken, seconds)
        disturbed = float(seconds[self._disturbed].sum() / seconds.sum())
        if disturbed <= _OF_THE_TIME and taken <= _IN_ALL:
            return ""
        said = []
        if taken > _IN_ALL or (self._taken > _SHARE).any():
            to_whom = f", most of it to {self._to_whom}" if self._to_whom else ""
            said.append(f"{taken:.0%} of this machine went to something else{to_whom}")
        if (table["throttled"] > _SHARE).any():
            share = _mean(table["throttled"], seconds)
            said.append(f"its quota held this process back for {share:.0%} of the time")
        if (table["stood_still"] > _SHARE * seconds).any():
            said.append(f"the generator was not run for {table['stood_still'].sum():.1f} s")
        if (table["jumped"].abs() > _JUMP).any():
            said.append(f"the clock was set by {table['jumped'].abs().max():.2g} s")
        if (table["swapped"] > _SWAPPED).any():
            said.append(f"{table['swapped'].sum() / 1e6:.0f} MB were swapped")
        return f"{DISTURBED}: {'; '.join(said)}."

    @property
    def _taken(self) -> "pd.Series[float]":
        return self.table["stolen"].fillna(0) + self.table["foreign"].fillna(0)

    @property
    def _disturbed(self) -> "pd.Series[bool]":
        table = self.table
        return (
            (self._taken > _SHARE)
            | (table["throttled"] > _SHARE)
            | (table["stood_still"] > _SHARE * table["seconds"])
            | (table["jumped"].abs() > _JUMP)
            | (table["swapped"] > _SWAPPED)
        )

    @property
    def _to_whom(self) -> str:
        stolen, foreign = (_mean(self.table[by], self.table["seconds"]) for by in _TAKERS)
        if stolen > foreign:
            return "its host"
        return max(self.culprits, key=lambda name: self.culprits[name], default="")

    def as_json(self) -> dict[str, Any]:
        """Plain data, from which `of_json` makes the same."""
        columns = {
            name: [None if math.isnan(value) else value for value in values]
            for name, values in self.table.to_dict("list").items()
        }
        return {"slices": columns, "culprits": dict(self.culprits)}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> "Disturbance":
        """Raises KeyError for what `as_json` has not made."""
        slices = {name: np.array(data["slices"][name], dtype=float) for name in COLUMNS}
        return cls(pd.DataFrame(slices), data["culprits"])

    @staticmethod
    def together(several: "list[Disturbance]") -> "Disturbance":
        """That of recordings which follow one another."""
        culprits: dict[str, float] = {}
        for each in several:
            for name, seconds in each.culprits.items():
                culprits[name] = culprits.get(name, 0.0) + seconds
        tables = [each.table for each in several if len(each.table)]
        return (
            Disturbance(pd.concat(tables, ignore_index=True), culprits) if tables else Disturbance()
        )


def _mean(values: "pd.Series[float]", weights: "pd.Series[float]") -> float:
    known = values.notna()
    return float(np.average(values[known], weights=weights[known])) if known.any() else 0.0
