"""Rounds: in turns, each arm once, and told apart afterwards."""

import pandas as pd
import pytest

from lab_services import traffic
from lab_services.errors import LabError


def test_arms_take_turns_and_keep_their_rounds() -> None:
    """One arm measured before the other, or always right after it; rounds that cannot be told."""
    asked: list[tuple[str, int]] = []

    def measure(arm: str, number: int) -> traffic.Recording:
        asked.append((arm, number))
        begin = 100.0 * len(asked)
        table = pd.DataFrame({"intended": [begin, begin + 1], "latency": 0.1, "ok": True})
        return traffic.Recording(table.assign(warmup=False), begin, 2.0, title=arm)

    found = traffic.rounds(["a", "b"], 3, measure)
    assert asked == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert list(found) == ["a", "b"]
    assert found["b"].table["round"].tolist() == [0, 0, 1, 1, 2, 2]
    assert found["b"].table["intended"].tolist() == [200, 201, 300, 301, 600, 601]
    assert (found["a"].seconds, found["a"].title) == (6.0, "a")


@pytest.mark.parametrize(("arms", "number"), [([], 5), (["a"], 0)])
def test_nothing_to_compare_is_refused(arms: list[str], number: int) -> None:
    with pytest.raises(LabError, match="are nothing to compare"):
        traffic.rounds(arms, number, lambda arm, number: traffic.last())


def test_what_would_be_mixed_up_is_refused() -> None:
    """Two arms of one name in one recording; a label of the lab's own overwritten."""
    table = pd.DataFrame({"intended": [1.0], "latency": 0.1, "ok": True, "round": 7})
    recording = traffic.Recording(table.assign(warmup=False), 1.0, 2.0)
    with pytest.raises(LabError, match="there twice"):
        traffic.rounds(["a", "a"], 5, lambda arm, number: recording)
    with pytest.raises(LabError, match="have a label `round` already"):
        traffic.rounds(["a", "b"], 5, lambda arm, number: recording)
