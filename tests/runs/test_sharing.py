"""Labs shared out over machines. No lab is run here."""

import random

import pytest

from lab_services.runs.sharing import shares


@pytest.mark.parametrize("most", [1, 3, 8, 40])
@pytest.mark.parametrize("count", [1, 2, 21, 39])
def test_each_lab_on_one_machine_and_none_has_much_more_to_do(count: int, most: int) -> None:
    """A lab that no machine measures, or two do; a machine that all others wait for."""
    drawn = random.Random(count)
    seconds = {f"serving/{n}": drawn.uniform(60, 600) for n in range(count)}
    shared = shares(seconds, most)
    assert sorted(lab for labs in shared for lab in labs) == sorted(seconds)
    assert all(shared) and len(shared) <= most
    loads = [sum(seconds[lab] for lab in labs) for labs in shared]
    # Of the longest first, no machine is ahead of another by more than its shortest lab.
    for labs, load in zip(shared, loads, strict=True):
        assert load - min(loads) <= min(seconds[lab] for lab in labs) + 1e-9


def test_a_machine_is_asked_for_only_where_it_is_worth_its_start() -> None:
    """Eight machines that each take minutes to come up, for labs of a minute."""
    assert len(shares({"a": 60.0, "b": 60.0, "c": 60.0}, 8)) == 1
    assert len(shares({"a": 500.0, "b": 500.0}, 8)) == 2


def test_nothing_to_do() -> None:
    """A machine without a lab."""
    assert shares({}, 8) == []
