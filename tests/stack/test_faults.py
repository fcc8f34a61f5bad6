"""What follows from the class of a fault, and what it says where it cannot be caused."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from lab_services.command.fault import fault
from lab_services.errors import LabError, Refused
from lab_services.stack import changeable
from lab_services.stack.compose import read
from lab_services.stack.faults import CHANGES, Change, Delay, LimitCpu, Partition
from lab_services.stack.process import ProcessRuntime
from lab_services.stack.stack import Stack


def test_what_editors_know_is_what_there_is() -> None:
    """A fault that mypy or an editor calls unknown, or with parameters that it has not."""
    told = Path(changeable.__file__).with_suffix(".pyi").read_text()
    assert told == changeable.stub(), changeable.__doc__


@pytest.mark.parametrize("kind", CHANGES)
def test_every_change_is_a_method_and_a_command(
    kind: type[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that a notebook, or a terminal, cannot cause."""
    done: list[Change] = []
    monkeypatch.setattr(Stack, "do", lambda _, change: done.append(change))
    values = {"other": "store", "replicas": 2, "environment": {"A": "1"}, "seconds": 1, "cores": 1}
    given = {name: values[name] for name in kind.__struct_fields__ if name in values}
    name = kind.method or kind.word.replace("-", "_")
    getattr(Stack.__new__(Stack), name)("web", **given)
    assert done == [kind("web", **given)]
    assert getattr(Stack, name).__doc__ == kind.__doc__ == fault.commands[kind.word].help


@pytest.mark.parametrize("named", ["", "x-partitions: [[b, a]]\n"])
def test_a_pair_that_is_not_named(tmp_path: Path, named: str) -> None:
    """A hint that, done as it says, is refused once more, or takes away a pair that was there."""
    services = "services:\n" + "".join(
        f"  {name}: {{image: x, command: [run]}}\n" for name in "abc"
    )
    file = tmp_path / "compose.yaml"
    file.write_text(named + services)
    before = read(file, {})
    with pytest.raises(LabError, match=f"{file} does not name the pair") as caught:
        Partition("c", "a").act(SimpleNamespace(compose=before))
    place, line, _ = caught.value.hint.splitlines()
    assert ("in the place of" in place) is bool(named)
    file.write_text(f"{line}\n{services}")
    assert read(file, {}).partitions == before.partitions | {frozenset({"a", "c"})}
    with pytest.raises(LabError, match="cut off from itself"):
        Partition("a", "a")


@pytest.mark.parametrize("what", [Delay("web", 1), LimitCpu("b", 1), Partition("c", "a")])
def test_what_is_not_possible_is_refused(tmp_path: Path, what: Change) -> None:
    """A fault that never was in force, listed as one that could not be lifted."""
    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  web: {image: x, command: [run]}\n")
    made = ProcessRuntime(read(file, {}), "1-2", tmp_path, None)
    with pytest.raises(Refused):
        what.act(made)
