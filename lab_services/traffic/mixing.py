"""Streams of requests made one: in turn, or mixed by lot."""

import math
from collections.abc import Sequence
from itertools import chain

import numpy as np

from lab_services.errors import LabError
from lab_services.traffic.request import Request


def interleave(*streams: Sequence[Request]) -> list[Request]:
    """Streams taken in turn (A B A B), so that what disturbs one disturbs the others too.

    Shorter streams begin again until the longest has ended. Raises LabError for an empty stream.

    >>> traffic.interleave(
    ...     traffic.requests(a, flights, variant="a"), traffic.requests(b, flights, variant="b")
    ... )
    """
    if not streams or not all(streams):
        raise LabError(
            "There is nothing to interleave: a stream of requests is empty.",
            "Give two or more lists made by traffic.requests(...).",
        )
    longest = max(map(len, streams))
    return list(
        chain.from_iterable(
            (stream[number % len(stream)] for stream in streams) for number in range(longest)
        )
    )


def mix(
    streams: Sequence[Sequence[Request]], weights: Sequence[float] = (), *, seed: int = 0
) -> list[Request]:
    """Streams mixed at random: each request of the mix is the next one of a stream drawn by lot.

    `weights` are the streams' shares of the traffic, equal ones unless given. Sent on a Poisson
    schedule, each stream is a Poisson process of its own, which `interleave` does not give: there
    every second arrival of two streams belongs to the same one, so its gaps are more even.
    The mix is as long as all streams together; short streams begin again.
    Raises LabError without streams, for an empty one, and for weights that are no shares.

    >>> traffic.mix([boards, airports], [1, 3])
    """
    if not streams or not all(streams):
        raise LabError(
            "There is nothing to mix: a stream of requests is empty.",
            "Give two or more lists made by traffic.requests(...).",
        )
    weights = weights or [1.0] * len(streams)
    if len(weights) != len(streams) or not all(math.isfinite(w) and w > 0 for w in weights):
        raise LabError(
            f"{list(weights)} are no weights of {len(streams)} streams.",
            "Give one number above 0 for each stream.",
        )
    shares = np.array(weights) / sum(weights)
    drawn = np.random.default_rng(seed).choice(len(streams), sum(map(len, streams)), p=shares)
    given = [0] * len(streams)
    mixed = []
    for place in drawn.tolist():
        stream = streams[place]
        mixed.append(stream[given[place] % len(stream)])
        given[place] += 1
    return mixed
