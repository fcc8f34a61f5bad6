"""Clients of the servers that speak no HTTP, and numbers read off those that do.

Each library is imported when it is first used: `stack` is imported where none of them is there.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection
    from redis import Redis

_PATIENCE = 30.0  # seconds; a lab pauses its servers for less


def redis(address: str, *, text: bool) -> "Redis":
    """A client of a Redis server; answers are `text`, or bytes as they are stored.

    A server that is paused or cut off is an error after half a minute.
    """
    from redis import Redis

    return Redis.from_url(
        f"redis://{address}",
        decode_responses=text,
        socket_timeout=_PATIENCE,
        socket_connect_timeout=_PATIENCE,
    )


def postgres_url(address: str, environment: Mapping[str, str]) -> str:
    """Where a database server answers, with the password of its service's environment."""
    return f"postgresql://postgres:{environment['POSTGRES_PASSWORD']}@{address}/postgres"


def postgres(url: str, **options: Any) -> "Connection[Any]":
    """A connection on which each statement counts at once; options as of `psycopg.connect`."""
    import psycopg

    return psycopg.connect(url, autocommit=True, **{"connect_timeout": int(_PATIENCE), **options})


def metric(text: str, name: str, labels: Mapping[str, str]) -> float:
    """The sum of the samples of that name that carry these labels; nan where there is none.

    `text` is in the format of Prometheus; a counter's samples are named with their `_total`.
    """
    from prometheus_client.parser import text_string_to_metric_families

    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return float(sum(found)) if found else float("nan")


def envoy_stats(told: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Counters and gauges by their names, of what an Envoy tells; its histograms are left out."""
    return {each["name"]: int(each["value"]) for each in told if "name" in each}
