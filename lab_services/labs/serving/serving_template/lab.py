"""What the lab reads off the contract and the recordings; no service imports this."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lab_services.errors import LabError
from lab_services.report.proportions import proportion
from lab_services.report.stats import Interval, rows
from lab_services.stack import Stack
from lab_services.traffic.recording import Recording

Kept = Mapping[str, bool]
KINDS = {200: "answered", 500: "failed", 502: "not understood"}
AWAY = "nobody there"  # while its one replica is replaced


def contract(stack: Stack) -> dict[str, dict[str, bool]]:
    """Which parts of the contract each folder of the fleet keeps. Raises LabError."""
    done = stack.run("contract")
    if done.exit_code:
        raise LabError(f"The contract's tests ended with {done.exit_code}.", done.output[-500:])
    found: dict[str, dict[str, bool]] = json.loads(done.output.splitlines()[-1])
    return found


def below(found: Mapping[str, Kept], folder: str) -> dict[str, Kept]:
    """What was found in the folders below one; by their own names. Raises LabError for none."""
    inside = {
        path.removeprefix(f"{folder}/"): kept
        for path, kept in found.items()
        if path.startswith(f"{folder}/")
    }
    if not inside:
        raise LabError(f"The contract was asked of nothing below {folder}.")
    return inside


def shares(found: Mapping[str, Kept]) -> dict[str, float]:
    """For each part of the contract the share of services that keep it."""
    table = pd.DataFrame(found).T.astype(float)
    return {str(part): float(share) for part, share in table.mean().items()}


def broken(found: Mapping[str, Kept]) -> int:
    """How many parts are broken, over all services."""
    return sum(not kept for parts in found.values() for kept in parts.values())


def breaking(found: Mapping[str, Kept]) -> int:
    """How many services break at least one part."""
    return sum(not all(parts.values()) for parts in found.values())


def kinds(table: pd.DataFrame) -> "pd.Series[Any]":
    """What became of each request, in the words of `KINDS`."""
    return table["status"].map(KINDS).fillna(AWAY)


def count(recording: Recording, kind: str, services: Collection[str] = ()) -> int:
    """How many requests became `kind`, of those services alone where some are named."""
    table = _of(recording, services)
    return int((kinds(table) == kind).sum())


def share(recording: Recording, kind: str, services: Collection[str] = ()) -> Interval:
    """The share of requests that became `kind`, with its interval; services as in `count`."""
    return proportion(count(recording, kind, services), len(_of(recording, services)))


def _of(recording: Recording, services: Collection[str]) -> pd.DataFrame:
    table = rows(recording)
    return table[table["service"].isin(list(services))] if services else table


@dataclass(frozen=True)
class Cost:
    """Lines that a person writes for n services: `first` for the first, `each` for every other.

    `release` is what the releases so far have cost: for a template once, for copies by service.
    """

    first: float
    each: float
    release: float = 0.0
    by_service: bool = False

    def of(self, services: float) -> float:
        """The lines for so many services."""
        releases = self.release * services if self.by_service else self.release
        return self.first + self.each * (services - 1) + releases

    @property
    def slope(self) -> float:
        """Lines for one more service, with all releases so far."""
        return self.each + (self.release if self.by_service else 0)


def pays_from(template: Cost, copies: Cost) -> float:
    """The number of services at which both have cost the same; infinite where that never comes."""
    gain = copies.slope - template.slope
    if gain <= 0:
        return float("inf")
    return 1 + max(0.0, (template.of(1) - copies.of(1)) / gain)
