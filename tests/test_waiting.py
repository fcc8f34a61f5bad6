"""Waits for what a stack will do."""

import pytest

from lab_services.errors import LabError
from lab_services.waiting import tries, wait_until


def test_what_is_there_is_not_waited_for():
    """A second of waiting for what has happened; a condition's value that is lost."""
    assert wait_until(lambda: 7, 60.0, "it") == 7
    assert len([turn for turn, _ in zip(range(3), tries(60.0, 0.0), strict=False)]) == 3


def test_a_wait_ends():
    """A notebook that hangs for ever, or an error that does not say what was awaited."""
    with pytest.raises(LabError, match="not happened: the end"):
        wait_until(lambda: False, 0.02, "the end", every=0.01)


def test_what_comes_at_the_very_end_counts():
    """A last look that comes before the time is up; no look at all where there is no time."""
    assert len(list(tries(0.0))) == 1
    assert len(list(tries(0.03, 0.1))) == 2
