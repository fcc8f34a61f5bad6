"""What the machine did besides while traffic was sent, and whether a measurement bears it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

NUMBERS = (
    "begin",
    "seconds",
    "stolen",
    "foreign",
    "throttled",
    "jumped",
    "swapped",
    "stood_still",
)
COLUMNS = (*NUMBERS, "culprit")
DISTURBED = "Disturbed"  # how a note of it begins
BEARS = 0.02  # of its time a share of requests bears, unless told otherwise
_UNSEEN = {
    "stolen": "time that a host takes for itself",
    "foreign": "what other programs use",
    "throttled": "whether a quota holds this process back",
    "swapped": "whether memory is swapped",
}
# Below that is what any machine does besides, and what counting in ticks of the clock errs.
_USUAL = 0.2
_JUMP = 0.05  # seconds
_SWAPPED = 4 * 2**20  # bytes in a slice: so much no idle machine swaps
_ADJACENT = 1e-3  # seconds between the end of a slice and the begin of the next


def _none() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=float) for name in NUMBERS}).assign(culprit="")


@dataclass(frozen=True, eq=False)
class Disturbance:
    """What else the machine did, slice by slice of about a quarter of a second.

    `table` has a row for each slice with the columns

    - `begin`: Unix seconds; `seconds`: how long it lasts
    - `stolen`, `foreign`: shares of the processor time of the cores that this process may use: what
      its host kept for itself, and what went to processes that belong neither to a stack, nor to
      the traffic, nor to this kernel
    - `throttled`: the share of its periods in which a quota held this process's control group back
    - `jumped`: seconds by which the clock was set; `swapped`: bytes read from or written to swap
    - `stood_still`: seconds for which a generator was not run, as on a machine that is paused
    - `culprit`: the other program that used most, where others used much

    What cannot be seen on a machine is nan there.
    """

    table: pd.DataFrame = field(default_factory=_none)

    @property
    def unseen(self) -> list[str]:
        """What was not seen, in words; nothing where nothing was watched."""
        return [
            words
            for column, words in _UNSEEN.items()
            if len(self.table) and self.table[column].isna().all()
        ]

    def spans(self) -> list[tuple[float, float]]:
        """From when to when something was lost, in Unix seconds, neighbours joined."""
        found: list[tuple[float, float]] = []
        lossy = self.table[self._lost > 0]
        begins = lossy["begin"].to_numpy(dtype=float)
        for begin, end in zip(begins, begins + lossy["seconds"].to_numpy(), strict=True):
            if found and abs(begin - found[-1][1]) < _ADJACENT:
                begin = found.pop()[0]
            found.append((float(begin), float(end)))
        return found

    def within(self, begin: float, end: float) -> "Disturbance":
        """The slices that reach into a time, Unix seconds."""
        inside = (self.table["begin"] + self.table["seconds"] > begin) & (self.table["begin"] < end)
        return Disturbance(self.table[inside].reset_index(drop=True))

    def note(self, bears: float = BEARS) -> str:
        """What disturbed a measurement by more than it bears, in words; else nothing.

        Lost is the share of a slice beyond a fifth that something else had of the machine, that a
        quota held back, or for which the generator was not run, and all of a slice that swapped. A
        measurement `bears` a share of its time so lost. A clock that was set is always told: when
        faults began is not known then.
        """
        table, lost = self.table, self._lost
        seconds = table["seconds"]
        jump = float(table["jumped"].abs().max()) if len(table) else 0.0
        if not len(table) or (_mean(lost, seconds) <= bears and jump <= _JUMP):
            return ""
        said = []
        if (self._taken > _USUAL).any():
            share = _mean(self._taken, seconds)
            to_whom = f", most of it to {self._to_whom}" if self._to_whom else ""
            said.append(f"{share:.0%} of this machine went to something else{to_whom}")
        if (table["throttled"] > _USUAL).any():
            share = _mean(table["throttled"], seconds)
            said.append(f"its quota held this process back in {share:.0%} of the periods")
        if (stood := float(table["stood_still"].sum())) > 0:
            said.append(f"the generator was not run for {stood:.1f} s")
        if (table["swapped"] > _SWAPPED).any():
            said.append(f"{table['swapped'].sum() / 1e6:.0f} MB were swapped")
        if jump > _JUMP:
            said.append(f"the clock was set by {jump:.2g} s")
        return f"{DISTURBED}: {'; '.join(said)}."

    @property
    def _taken(self) -> "pd.Series[float]":
        return self.table["stolen"].fillna(0) + self.table["foreign"].fillna(0)

    @property
    def _lost(self) -> "pd.Series[float]":
        """The share of each slice that the measurement has lost to something else."""
        table = self.table
        parts = pd.DataFrame(
            {
                "taken": (self._taken - _USUAL) / (1 - _USUAL),
                "throttled": (table["throttled"].fillna(0) - _USUAL) / (1 - _USUAL),
                "stood_still": table["stood_still"] / table["seconds"],
                "swapped": (table["swapped"] > _SWAPPED).astype(float),
            }
        )
        return parts.max(axis=1).clip(0, 1)

    @property
    def _to_whom(self) -> str:
        table = self.table
        stolen, foreign = (_mean(table[by], table["seconds"]) for by in ("stolen", "foreign"))
        if stolen > foreign:
            return "its host"
        named = table[table["culprit"] != ""]
        if named.empty:
            return ""
        used = (named["foreign"] * named["seconds"]).groupby(named["culprit"]).sum()
        return str(used.idxmax())

    def as_json(self) -> dict[str, Any]:
        """Plain data, from which `of_json` makes the same."""
        return {
            name: [None if isinstance(v, float) and math.isnan(v) else v for v in self.table[name]]
            for name in COLUMNS
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> "Disturbance":
        """Raises KeyError for what `as_json` has not made."""
        table = pd.DataFrame({name: np.array(data[name], dtype=float) for name in NUMBERS})
        return cls(table.assign(culprit=pd.Series(data["culprit"], dtype=str)))

    @staticmethod
    def together(several: Iterable["Disturbance"]) -> "Disturbance":
        """That of several recordings, each slice once."""
        tables = [each.table for each in several if len(each.table)]
        if not tables:
            return Disturbance()
        every = pd.concat(tables, ignore_index=True).drop_duplicates("begin")
        return Disturbance(every.sort_values("begin", ignore_index=True))


def _mean(values: "pd.Series[float]", weights: "pd.Series[float]") -> float:
    known = values.notna()
    return float(np.average(values[known], weights=weights[known])) if known.any() else 0.0
