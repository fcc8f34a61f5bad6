"""What a run of traffic gives: a table with one row for each request."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lab_services.errors import LabError
from lab_services.traffic.disturbance import BEARS, Disturbance

_QUANTILES = (0.5, 0.9, 0.99, 1.0)
# A start within 5 ms of its time is what any process gets that shares a core: the kernel lets
# another one run for some milliseconds before it changes over.
_SHARED_CORE = 0.005
# Beyond that, a late start matters once it is a tenth of the latency that a reader is shown.
_SHARE = 0.1
_SHOWN = (0.5, 0.95, 0.99)
_BUSY = 0.9
_APART = ("table", "disturbance")  # of what a file holds in its first line as it is


@dataclass
class Recording:
    """One row for each request, in the order of the intended starts.

    `table` has the columns

    - `intended`, `started`: unix seconds; the closed loop has no schedule, and both are the same
    - `latency`: seconds from the intended start to the last byte of the answer, or to giving up
    - `response_time`: the same from the actual start
    - `status`: of HTTP, 0 when no whole answer came; `error`: why, or the beginning of the body of
      an answer from 400 on; `ok`: an answer below 400
    - `answered_by`: what the answer's header `x-answered-by` holds, empty where it has none
    - `bytes`: length of the answer's body
    - `warmup`: sent before the measurement began
    - a column for each label of the requests

    `begin` is the end of the warm-up in unix seconds and `seconds` how long traffic was sent
    from then on; for a number of requests, the time until the last answer. `late` says that the
    generator could not keep its schedule; `note` says in words what a reader of the numbers must
    know, and is empty when there is nothing. `disturbance` is what the machine did besides.
    """

    table: pd.DataFrame
    begin: float
    seconds: float
    title: str = ""
    late: bool = False
    note: str = ""
    interrupted: bool = False
    disturbance: Disturbance = field(default_factory=Disturbance)

    def disturbed(self, bears: float = BEARS) -> str:
        """What disturbed its own requests by more than they bear, in words, or nothing.

        They bear a share of their time that something else has taken: see `Disturbance.note`.
        """
        sent = self.measured
        if sent.empty:
            return ""
        answered = float((sent["intended"] + sent["latency"]).max())
        return self.disturbance.within(float(sent["intended"].min()), answered).note(bears)

    @property
    def measured(self) -> pd.DataFrame:
        """The table without the warm-up."""
        return self.table[~self.table["warmup"]]

    def where(self, **labels: object) -> "Recording":
        """The part whose requests carry these labels: `recording.where(door="blind")`.

        Raises LabError for a label that no request carries.
        """
        kept = pd.Series(True, index=self.table.index)
        for label, value in labels.items():
            if label not in self.table:
                raise LabError(f"No request of this recording has a label {label!r}.")
            kept &= self.table[label] == value
        if not kept.any():
            raise LabError(f"No request of this recording has {labels}.")
        return replace(self, table=self.table[kept].reset_index(drop=True))

    def from_actual_start(self) -> "Recording":
        """The same requests, timed from their actual start, and so without a note of lateness.

        For answers so quick that on shared cores a request may start later than its answer takes.
        The generator waits for no answer, so no queue is hidden by leaving out the late start.
        """
        table = self.table.assign(latency=self.table["response_time"])
        return replace(self, table=table, late=False, note="")

    @property
    def lateness(self) -> dict[float, float]:
        """Quantiles of how long after their intended start requests were sent, in seconds."""
        return _lateness(self.measured, _QUANTILES)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        parts = [f"{self.title}: " if self.title else "", summary(self)]
        return f"Recording({''.join(parts)})"

    def save(self, path: str | Path) -> Path:
        """Write a gzipped CSV file whose first line is a comment with all that is not a row.

        >>> recording.save("baseline.csv.gz")
        """
        head = {name: value for name, value in vars(self).items() if name not in _APART}
        head["disturbance"] = self.disturbance.as_json()
        head["types"] = {name: str(kind) for name, kind in self.table.dtypes.items()}
        path = Path(path)
        # mtime: the same recording gives the same bytes.
        with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
            file.write(f"# {json.dumps(head)}\n".encode())
            self.table.to_csv(file, index=False)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Recording":
        """Read what `save` wrote. Raises LabError when the file holds no recording."""
        try:
            with gzip.open(path, "rb") as file:
                head = json.loads(file.readline().removeprefix(b"# "))
                types = head.pop("types")
                head["disturbance"] = Disturbance.of_json(head["disturbance"])
                table = pd.read_csv(file, dtype=types, keep_default_na=False)
        except FileNotFoundError as error:
            raise LabError(
                f"There is no recording at {path}.", "Make one with recording.save(path)."
            ) from error
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise LabError(
                f"{path} is not a whole recording: {error}.", "Record it again and save it."
            ) from error
        return cls(table, **head)

    @staticmethod
    def join(recordings: Sequence["Recording"], title: str = "") -> "Recording":
        """One recording of several runs; `seconds` add up, and one late run makes it late."""
        if not recordings:
            raise LabError("There are no recordings to join.", "Give at least one.")
        table = pd.concat([each.table for each in recordings], ignore_index=True)
        return Recording(
            table.sort_values("intended", kind="stable", ignore_index=True),
            begin=min(each.begin for each in recordings),
            seconds=sum(each.seconds for each in recordings),
            title=title or ", ".join(dict.fromkeys(filter(None, (r.title for r in recordings)))),
            late=any(each.late for each in recordings),
            note=" ".join(dict.fromkeys(filter(None, (each.note for each in recordings)))),
            interrupted=any(each.interrupted for each in recordings),
            disturbance=Disturbance.together(each.disturbance for each in recordings),
        )


def summary(recording: Recording) -> str:
    """The recording in a line."""
    table = recording.measured
    text = f"{len(table)} requests in {recording.seconds:.1f} s, {(~table['ok']).sum()} errors"
    if len(table):
        text += f", p50 {table['latency'].median() * 1000:.1f} ms"
    told = " ".join(filter(None, (recording.note, recording.disturbed())))
    return f"{text}. {told}" if told else text


def judge_lateness(table: pd.DataFrame, processor: float, waited: int) -> str:
    """What to say when the generator did not keep its schedule, or nothing when it did.

    It did not when, at one of the quantiles that are shown (p50, p95, p99), requests started both
    later than a shared core explains and by more than a tenth of the latency at that quantile:
    then the number is the generator's as much as the service's. `processor` is the share of one
    core that the busiest generator used, `waited` how many requests found no connection.
    """
    lateness, latency = _lateness(table, _SHOWN), _quantiles(table["latency"], _SHOWN)
    worst = [q for q in lateness if lateness[q] > max(_SHARED_CORE, _SHARE * latency[q])]
    if not worst:
        return ""
    said = ", ".join(f"p{q * 100:g} {lateness[q] * 1000:.1f} ms" for q in worst)
    if waited:
        reason = "It had no connection left."
    elif processor > _BUSY:
        reason = "It used its whole core: use generators=2, or a lower rate."
    else:
        reason = "The machine was busy with other work."
    return f"The generator fell behind its schedule: requests started late by {said}. {reason}"


def _lateness(table: pd.DataFrame, quantiles: Sequence[float]) -> dict[float, float]:
    return _quantiles(table["started"] - table["intended"], quantiles)


def _quantiles(values: "pd.Series[Any]", quantiles: Sequence[float]) -> dict[float, float]:
    if not len(values):
        return {}
    return {float(q): float(value) for q, value in values.quantile(list(quantiles)).items()}  # type: ignore[arg-type]
