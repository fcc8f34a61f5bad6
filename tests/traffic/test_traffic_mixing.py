"""Streams mixed by lot."""

from itertools import pairwise

import pytest

from lab_services import traffic
from lab_services.errors import LabError

URL = "http://127.0.0.1:8000/predict"


def stream(name, count):
    return traffic.requests(URL, [{"n": n} for n in range(count)], name=name)


def test_the_lots_keep_to_the_weights_and_streams_to_their_order():
    """A stream that gets another share than asked for, or whose requests are all the first one."""
    mixed = traffic.mix([stream("a", 3000), stream("b", 10)], [1, 3])
    assert len(mixed) == 3010
    own = [request.json["n"] for request in mixed if request.labels["name"] == "b"]
    assert len(own) / len(mixed) == pytest.approx(0.75, abs=0.03)
    assert own[:12] == [*range(10), 0, 1]
    assert [r.json["n"] for r in mixed if r.labels["name"] == "a"] == list(range(3010 - len(own)))


def test_neighbours_are_independent():
    """Every second request from the same stream: even gaps instead of Poisson ones."""
    names = [r.labels["name"] for r in traffic.mix([stream("a", 2000), stream("b", 2000)])]
    same = sum(one == other for one, other in pairwise(names))
    assert same / len(names) == pytest.approx(0.5, abs=0.05)


def test_a_seed_gives_the_same_mix():
    """Traffic that differs from run to run."""
    streams = [stream("a", 50), stream("b", 50)]
    assert traffic.mix(streams, seed=1) == traffic.mix(streams, seed=1)
    assert traffic.mix(streams, seed=1) != traffic.mix(streams, seed=2)


@pytest.mark.parametrize(
    ("streams", "weights"),
    [([], ()), ([[]], ()), ([stream("a", 1)], [0]), ([stream("a", 1)], [1, 2])],
)
def test_bad_mixes_are_refused(streams, weights):
    """A mix of nothing, or a weight without a stream."""
    with pytest.raises(LabError):
        traffic.mix(streams, weights)
