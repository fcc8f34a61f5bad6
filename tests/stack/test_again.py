"""A cell that starts a lab is run again: one stack is there, the new one."""

import pytest

from lab_services.stack import Stack, orders, stack
from lab_services.stack.supervisor_client import own_supervisor
from tests.stack.conftest import Write

SLEEPS = "  one:\n    image: ${LAB_IMAGE:-lab-services}\n    command: [sleep, '600']\n"


def running() -> list[str]:
    """The stacks of this process."""
    return [described.ident for described in own_supervisor().call(orders.List())]


def test_in_a_notebook_it_replaces_the_former_one(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three runs of the first cell, `stack.down()`, and two stacks on a machine of 1 GB."""
    monkeypatch.setattr(stack, "in_notebook", lambda: True)
    path = write(SLEEPS)
    first = Stack(path, "process").up()
    assert first.up() is first
    assert "replaced" not in capsys.readouterr().err
    with Stack(path, "process") as aside:  # which ends with its block, and is nobody's former one
        second = Stack(path, "process").up()
        said = capsys.readouterr().err.splitlines()
        assert [line for line in said if "replaced" in line] == [
            f"{path} was running already: its former stack is replaced."
        ]
        assert sorted(running()) == sorted([aside.ident, second.ident])
    assert first.states() == []
    third = Stack(path, "process").up()
    assert running() == [third.ident]
    third.down()
    assert running() == []
    Stack(path, "process").up().down()
    assert capsys.readouterr().err.count("replaced") == 1  # the third's: the last found none


def test_elsewhere_there_may_be_two(write: Write) -> None:
    """A program that compares two stacks of one file, and loses the first."""
    path = write(SLEEPS)
    one, other = (Stack(path, "process").up() for _ in range(2))
    assert sorted(running()) == sorted([one.ident, other.ident])
    one.down()
    other.down()
