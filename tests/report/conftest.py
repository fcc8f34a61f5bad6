"""Recordings made by hand: no traffic is sent here."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lab_services.traffic.disturbance import Disturbance


@dataclass
class HandMade:
    """What the report needs of a recording."""

    table: pd.DataFrame
    note: str = ""
    disturbance: Disturbance = field(default_factory=Disturbance)

    def disturbed(self, bears: float = 0.0) -> str:
        return ""


Record = Callable[..., HandMade]


@pytest.fixture
def record() -> Record:
    """Make a recording of latencies in seconds, sent evenly at `rate` from `begin` on."""

    def make(
        latency: Any, *, rate: float = 100, begin: float = 1.8e9, note: str = "", **columns: Any
    ) -> HandMade:
        latency = np.asarray(latency, dtype=float)
        intended = begin + np.arange(len(latency)) / rate
        table = pd.DataFrame({"intended": intended, "latency": latency, "ok": True, **columns})
        return HandMade(table.assign(warmup=columns.get("warmup", False)), note)

    return make


@pytest.fixture
def queue_latencies() -> Callable[..., Any]:
    """Latencies in a queue with one worker and Poisson arrivals, in order of arrival."""

    def simulate(n: int, utilisation: float, service: float, random: np.random.Generator) -> Any:
        gaps = random.exponential(service / utilisation, n)
        served = random.exponential(service, n)
        # Lindley's recursion, by the running minimum of the random walk.
        steps = np.concatenate([[0.0], np.cumsum(served[:-1] - gaps[1:])])
        return steps - np.minimum.accumulate(steps) + served

    return simulate
