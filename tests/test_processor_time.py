"""What processes have used between two looks, and which of them are ours."""

import subprocess
import sys

import psutil
import pytest

from lab_services.processor_time import Used, called, of, ours, taken, used


def test_what_was_used_before_does_not_count() -> None:
    """A neighbour's child that ends meanwhile, and brings the processor time of its whole life."""
    shell, compiler = psutil.Process(), psutil.Process(psutil.Process().ppid())
    before = {shell: Used(1.0, 10.0, 1), compiler: Used(40.0, 5.0, shell.pid)}
    # The compiler used half a second more before it ended, and the shell a quarter.
    after = {shell: Used(1.25, 55.5, 1), compiler: None}
    assert taken(before, after) == pytest.approx(0.75)
    # Its parent is not among the watched, or has not asked for it yet: nothing below zero.
    assert taken(before, {shell: Used(1.0, 10.0, 1), compiler: None}) == 0.0


def test_only_the_parent_brings_what_a_child_has_used() -> None:
    """Two shells: the child of one that ended takes from what the children of the other used."""
    shell, compiler = psutil.Process(), psutil.Process(psutil.Process().ppid())
    other = psutil.Process(1)
    before = {
        shell: Used(0.0, 0.0, 1),
        other: Used(0.0, 0.0, 0),
        compiler: Used(40.0, 0.0, shell.pid),
    }
    after = {shell: Used(0.0, 40.0, 1), other: Used(0.0, 3.0, 0), compiler: None}
    assert taken(before, after) == pytest.approx(3.0)


def test_a_child_that_nobody_has_waited_for_yet_counts_once() -> None:
    """Its life handed on to its parent a look later, when it is forgotten that it was known."""
    child = subprocess.Popen([sys.executable, "-c", "sum(range(9**7))"])
    process, own = psutil.Process(child.pid), psutil.Process()
    while process.status() != psutil.STATUS_ZOMBIE:
        pass
    looks = [of([own, process])]
    child.wait()
    looks.append(of([own, process]))
    assert looks[0][process] is not None and looks[1][process] is None
    assert taken(*looks) < 0.2


def test_other_children_of_a_shell_are_not_ours() -> None:
    """A build in the terminal in which a lab runs, counted as the lab's."""
    own = psutil.Process()
    above = own.parents()[0]
    shell, mine, found = used(above), used(own), of([above, own])
    assert shell is not None and mine is not None
    told, here = found[above], found[own]
    assert told is not None and here is not None
    assert told.children == 0.0 and told.own == pytest.approx(shell.own, abs=0.5)
    assert here.children == pytest.approx(mine.children, abs=0.5)


def test_a_process_that_is_new_counts_from_its_start() -> None:
    new = psutil.Process()
    assert taken({}, {new: Used(0.5, 0.25, 1)}) == taken({new: None}, of([])) + 0.75


def test_one_that_has_ended_is_not_known() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(child.pid)
    child.wait()
    assert used(process) is None


def test_children_of_children_are_ours() -> None:
    """A service that a supervisor has started taken for somebody else's."""
    starts = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", starts], stdin=subprocess.PIPE) as child:
        process = psutil.Process(child.pid)
        while not (grandchildren := process.children()):
            pass
        found = ours()
        assert {psutil.Process(), process, *grandchildren, *psutil.Process().parents()} <= found
        child.communicate(b"\n")


def test_a_program_is_called_what_it_runs() -> None:
    """`python` as the name of whoever disturbed a measurement, which may be anything."""
    with subprocess.Popen(
        [sys.executable, "-m", "timeit", "-n", "9", "input()"], stdin=-1
    ) as child:
        assert called(psutil.Process(child.pid)).endswith(" -m timeit")
        child.kill()
