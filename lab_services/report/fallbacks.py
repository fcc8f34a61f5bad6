"""Shares of requests by who answered them, and how soon.

A service that answers by itself, without its model, says so by the status 203, "non-authoritative
information".
"""

import math
from dataclasses import dataclass

import pandas as pd

from lab_services.report.stats import Interval, Requests, Share, note_at

MODEL, FALLBACK = 200, 203


@dataclass(frozen=True)
class Answered(Share):
    """Share of requests answered after more than `more_than` and at most `deadline` seconds.

    Only with one of `statuses` where some are given, else with any that is right.

    >>> Answered(0.1, statuses=(200,))(recording)      # doctest: +SKIP
    """

    deadline: float = math.inf
    statuses: tuple[int, ...] = ()
    more_than: float = -math.inf
    unit = "share"
    label = "answered"

    def hit(self, table: pd.DataFrame) -> "pd.Series[bool]":
        right = table["status"].isin(self.statuses) if self.statuses else table["ok"].astype(bool)
        return right & (table["latency"] <= self.deadline) & (table["latency"] > self.more_than)

    def unknown(self, requests: Requests) -> str:
        if math.isnan(self.deadline) or math.isnan(self.more_than):
            return "the deadline is not known"
        return super().unknown(requests)

    def note(self, requests: Requests) -> str:
        # What a late generator changes in a share is judged by the latency that decides it.
        return note_at(requests, min(self.deadline, abs(self.more_than)))


def by_model(recording: Requests, deadline: float) -> Interval:
    """Share of requests that the model answered inside the deadline (seconds)."""
    return Answered(deadline, (MODEL,))(recording)


def by_fallback(recording: Requests, deadline: float) -> Interval:
    """Share of requests that a fallback answered inside the deadline (seconds)."""
    return Answered(deadline, (FALLBACK,))(recording)


def by_anyone(recording: Requests, deadline: float) -> Interval:
    """Share of requests answered inside the deadline (seconds), by the model or by a fallback."""
    return Answered(deadline, (MODEL, FALLBACK))(recording)
