"""What has arrived from the generators: counts for the live line, then the recording's table."""

from collections import deque
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_services.traffic.plan import ResultBatch
from lab_services.traffic.request import Request

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_RECENT = 1.0


class Collector:
    """All rows of one run. Times are of the monotonic clock until the table is made.

    `arrivals` are the intended starts, `request_index` the place in `requests` of what each
    sends; the closed loop has neither, and its rows name the place in `requests` themselves.
    """

    def __init__(
        self, arrivals: Floats | None = None, request_index: Integers | None = None
    ) -> None:
        self._arrivals = arrivals
        self._request_index = request_index
        self._columns: list[tuple[Integers, Floats, Floats, Integers, Integers, Integers]] = []
        self._errors: list[str] = []
        self._by: list[str] = []
        self._sent: dict[int, int] = {}
        self._recent: deque[tuple[float, Floats]] = deque()
        self.measured = 0
        self.answered = 0
        self.failed = 0

    @property
    def sent(self) -> int:
        return sum(self._sent.values())

    def add(self, place: int, rows: ResultBatch) -> None:
        """Take a portion of rows from the generator at `place`."""
        self._sent[place] = rows.sent
        count = len(rows.arrival_index)
        if not count:
            return
        arrival_index = np.frombuffer(rows.arrival_index, np.int64)
        started = np.frombuffer(rows.started)
        ended = np.frombuffer(rows.ended)
        status = np.frombuffer(rows.status, np.int16).astype(np.int64)
        size = np.frombuffer(rows.size, np.int64)
        warmup = np.frombuffer(rows.warmup, np.int8).astype(np.int64)
        self._columns.append((arrival_index, started, ended, status, size, warmup))
        self._errors += [rows.errors.get(row, "") for row in range(count)]
        self._by += [rows.by.get(row, "") for row in range(count)]
        self.measured += count - int(warmup.sum())
        whole = int((status > 0).sum())
        self.answered += whole
        self.failed += count - int(_ok(status).sum())
        self._recent.append((float(ended[-1]), ended - self._intended(arrival_index, started)))

    def recent_p50(self) -> float | None:
        """Median latency in seconds of the rows of the last second."""
        while self._recent and self._recent[0][0] < self._recent[-1][0] - _RECENT:
            self._recent.popleft()
        if not self._recent:
            return None
        return float(np.median(np.concatenate([latency for _, latency in self._recent])))

    def table(self, requests: Sequence[Request], to_unix: float) -> pd.DataFrame:
        """The table of a recording; `to_unix` is what is added to the monotonic clock."""
        columns = zip(*self._columns, strict=True) if self._columns else [[np.empty(0)]] * 6
        arrival_index, started, ended, status, size, warmup = map(np.concatenate, columns)
        arrival_index, status, size = (
            column.astype(np.int64) for column in (arrival_index, status, size)
        )
        intended = self._intended(arrival_index, started)
        table = pd.DataFrame(
            {
                "intended": intended + to_unix,
                "started": started + to_unix,
                "latency": ended - intended,
                "response_time": ended - started,
                "status": status,
                "error": pd.Series(self._errors, dtype=str),
                "answered_by": pd.Series(self._by, dtype=str),
                "ok": _ok(status),
                "bytes": size,
                "warmup": warmup.astype(bool),
            }
        )
        request_index = (
            arrival_index if self._request_index is None else self._request_index[arrival_index]
        )
        for label in dict.fromkeys(name for request in requests for name in request.labels):
            values = pd.Series([request.labels.get(label) for request in requests])
            table[label] = values.to_numpy()[request_index]
        return table.sort_values("intended", kind="stable", ignore_index=True)

    def _intended(self, arrival_index: Integers, started: Floats) -> Floats:
        return started if self._arrivals is None else self._arrivals[arrival_index]


def _ok(status: Integers) -> NDArray[np.bool_]:
    return (status >= 200) & (status < 400)
