"""What the lab of this chapter publishes, asks and computes; no service imports this."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lab_services.models import features, store
from lab_services.models.features import Flight
from lab_services.models.scoring import scorer
from lab_services.patterns.serving.edge_prediction import packages
from lab_services.report import proportions
from lab_services.report.bootstrap import CONFIDENCE
from lab_services.report.stats import Interval
from lab_services.stack import Stack, loopback
from lab_services.traffic.recording import Recording
from lab_services.waiting import tries

PATIENCE = 30.0  # seconds for devices to have looked
_TIMEOUT = 30.0  # seconds for a service to answer the lab, on a machine that is busy
_PART = 512 * 1024  # bytes that a service takes in one request, and some
Values = npt.NDArray[np.float64]


# --- models, asked here --------------------------------------------------------------------------


def chances(name: str, flights: Sequence[Flight]) -> Values:
    """What the model of this name says of each flight, one at a time as a device asks it.

    A model whose layers are quantised as it is asked rounds each row by what else is in the batch,
    so its answers to a batch are others.
    """
    return scored(store.model_path(name), store.card(name)["codes"], flights)


def scored(onnx: Path | bytes, codes: Mapping[str, Any], flights: Sequence[Flight]) -> Values:
    """The same for a model's file or the bytes of one, with the codes that it was made for."""
    score = scorer(onnx)
    rows = features.prepare(flights, features.Codes(**codes))
    return np.concatenate([score(rows[at : at + 1]) for at in range(len(rows))]).astype(float)


def same_verdict(a: Values, b: Values, threshold: float) -> Interval:
    """The share of flights that both call late, or both not."""
    return proportions.share((a > threshold) == (b > threshold))


def asked(url: str, flights: Sequence[Flight]) -> Values:
    """What a running service says of each flight."""
    with loopback.client(timeout=_TIMEOUT) as client:
        answers = [client.post(url, json=flight).raise_for_status() for flight in flights]
    return np.array([answer.json()["probability"] for answer in answers])


# --- packages ------------------------------------------------------------------------------------


def known_answers(flights: Sequence[Flight]) -> list[dict[str, Any]]:
    """What the network said of these flights before anybody made it smaller."""
    said = chances("edge-float32", flights)
    return [
        {"flight": flight, "probability": round(float(p), 6)}
        for flight, p in zip(flights, said, strict=True)
    ]


def publish(
    stack: Stack,
    version: int,
    name: str,
    known: Sequence[dict[str, Any]],
    *,
    key: str = "",
    damage: bool = False,
) -> packages.Manifest:
    """Sign the model of this name as this version, upload it, and call it the newest.

    `key` is another than the factory's; with `damage` what is uploaded is not what was signed.
    """
    content = store.model_path(name).read_bytes()
    key = key or stack.compose.services["device"].environment["SIGNING_KEY"]
    manifest = packages.packed(version, content, store.card(name)["codes"], known, key)
    if damage:
        content = damaged(content)
    with loopback.client(base_url=stack.url("store"), timeout=_TIMEOUT) as client:
        for begin in range(0, len(content), _PART):
            part = content[begin : begin + _PART]
            place = f"/packages/{version}"
            client.put(place, params={"begin": begin}, content=part).raise_for_status()
        client.put("/latest", json=manifest).raise_for_status()
    return manifest


def damaged(content: bytes) -> bytes:
    """The same with a block of its middle overwritten: the weights there are noise."""
    size = len(content) // 8
    begin = len(content) // 2
    noise = np.random.default_rng(0).bytes(size)
    return content[:begin] + noise + content[begin + size :]


def outcome(stack: Stack, version: int, service: str = "device") -> dict[str, Any]:
    """What came of a package on a device, as soon as it has looked.

    The `outcome` is None where it has not after `PATIENCE` seconds.
    """
    for _ in tries(PATIENCE):
        for event in stack.json(service, "/device")["events"]:
            if event["version"] == version:
                return dict(event)
    reason = f"{service} has not looked at package {version} within {PATIENCE:g} s"
    return {"version": version, "outcome": None, "reason": reason}


def as_it_should(came: Mapping[int, Mapping[str, Any]], expected: Mapping[int, str]) -> Interval:
    """How many packages ended as they should; unknown where a device has not looked at one."""
    for version in expected:
        if came[version]["outcome"] is None:
            return Interval.unknown(came[version]["reason"], n=len(expected))
    right = sum(came[version]["outcome"] == end for version, end in expected.items())
    return Interval.exact(right)


# --- the fleet -----------------------------------------------------------------------------------


def deploy(stack: Stack, each: int, intervals: Sequence[float]) -> None:
    """So many light devices for each interval, each with the newest package."""
    loopback.put(
        stack.url("fleet", "/fleet"),
        json={"each": each, "intervals": list(intervals)},
        timeout=_TIMEOUT,
    ).raise_for_status()


def wait_for_fleet(stack: Stack, version: int) -> pd.DataFrame:
    """One row a device: `every`, and `at`: when it had the version (Unix seconds).

    Waits until all have it, and `PATIENCE` seconds longer than the slowest looks at most: a device
    that has not got it by then has an infinite `at`.
    """
    begin = time.monotonic()
    while True:
        devices = stack.json("fleet", "/fleet")
        longest = max((device["every"] for device in devices), default=0.0)
        everybody = all(device["version"] == version for device in devices)
        if everybody or time.monotonic() - begin > longest + PATIENCE:
            return pd.DataFrame(
                [(device["every"], _had(device, version)) for device in devices],
                columns=["every", "at"],
            )
        time.sleep(0.1)


def _had(device: Mapping[str, Any], version: int) -> float:
    """When a device had a version, in Unix seconds; infinite where it has not yet."""
    taken = (version, "installed")
    times = [e["at"] for e in device["events"] if (e["version"], e["outcome"]) == taken]
    return min(times, default=math.inf)


def spread(
    updated: pd.DataFrame, released: float, seconds: Sequence[float]
) -> dict[str, dict[float, Interval]]:
    """The share of devices with the new version so many seconds after its release, by interval."""
    found: dict[str, dict[float, Interval]] = {}
    for every, devices in updated.groupby("every"):
        after = devices["at"] - released
        found[f"looks every {every:g} s"] = {
            second: proportions.share(after <= second) for second in seconds
        }
    return found


def distance(updated: pd.DataFrame, released: float) -> Interval:
    """The largest distance of the share that has it from min(1, t/T): Kolmogorov's, as a share.

    Each device counts by its own interval. The interval is that of Dvoretzky, Kiefer and Wolfowitz
    with the constant of Massart, Annals of Probability 18, 1990: how far the share of so many
    devices may lie from the true one. Unknown without a device.
    """
    count = len(updated)
    if not count:
        return Interval.unknown("no device looks so often", "share")
    after = np.sort((updated["at"] - released) / updated["every"])
    expected = np.clip(after, 0, 1)
    steps = np.arange(count + 1) / count
    found = float(max(abs(steps[1:] - expected).max(), abs(steps[:-1] - expected).max()))
    reach = math.sqrt(math.log(2 / (1 - CONFIDENCE)) / (2 * count))
    return Interval(found, max(0.0, found - reach), min(1.0, found + reach), count, "share")


# --- traffic -------------------------------------------------------------------------------------


def network_bytes(stack: Stack, cluster: str) -> int:
    """Bytes that have gone through the network to a service and back, counted by Envoy."""
    return sum(
        stack.envoy_stats("network", rf"^cluster\.{cluster}\.upstream_cx_.x_bytes_total$").values()
    )


def by_whom(table: pd.DataFrame) -> "pd.Series[Any]":
    """What became of each request: whose answer it got, if any."""
    server = table["answered_by"] == "server"
    kinds = server.map({True: "by the server", False: "by the device"})
    return kinds.where(table["ok"], "not at all")


def by_model(wrong: Sequence[int]) -> Callable[[pd.DataFrame], "pd.Series[Any]"]:
    """What became of each request to a device, where these versions are wrong ones."""
    mistaken = [f"device, version {version}" for version in wrong]

    def kinds(table: pd.DataFrame) -> "pd.Series[Any]":
        found = table["answered_by"].isin(mistaken)
        return found.map({True: "wrong model", False: "right model"}).where(
            table["ok"], "no answer"
        )

    return kinds


def share(recording: Recording, kinds: Callable[[pd.DataFrame], Any], *kind: str) -> Interval:
    """The share of a recording's requests of which one of these became."""
    return proportions.share(kinds(recording.measured).isin(kind))
