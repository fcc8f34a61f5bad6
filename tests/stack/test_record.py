"""What a supervisor keeps of a stack while orders come in several threads at once."""

import threading
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from lab_services.errors import LabError, Refused
from lab_services.stack.faults import CHANGES, Change, Clear, Kill, Lasting, Passing, Standing
from lab_services.stack.messages import Failed, Replica
from lab_services.stack.record import StackRecord


class Runtime:
    """As much of one as is asked for here."""

    name = "process"

    def __init__(self) -> None:
        self.state = "ready"
        self.compose = SimpleNamespace(service=lambda name: None)

    def settling(self, service: str, number: int) -> AbstractContextManager[None]:
        return nullcontext()

    def replicas(self) -> list[Replica]:
        return [Replica("web", 1, self.state, {})]

    def replica(self, service: str, number: int) -> Replica:
        return self.replicas()[0]

    def signal(self, replica: Replica, name: str) -> None:
        self.state = "exited"


@pytest.fixture
def record() -> StackRecord:
    """A stack of one service."""
    return StackRecord("1-2", "some/lab", Runtime())


def test_a_fault_while_others_are_looked_through(record: StackRecord) -> None:
    """A fault that came while another thread wrote the list anew was lost."""
    threads = []

    class Looked(Lasting, frozen=True):
        word: ClassVar[str] = "looked"
        state = "gone"

        def act(self, runtime: Any) -> None:
            runtime.state = "gone"

        def is_over(self, replicas: list[Replica]) -> bool:
            if not threads:
                threads.append(threading.Thread(target=record.do, args=[Kill("web")]))
                threads[0].start()
                threads[0].join(0.1)
            return False

    record.do(Looked("web"))
    threads[0].join()
    assert [fault.kind for fault in record.faults] == ["looked", "kill"]


def test_a_change_that_fails_has_ended(record: StackRecord) -> None:
    """A rollout that failed stood in the list as if it went on, or hid its error by another."""

    class Fails(Passing, frozen=True):
        word: ClassVar[str] = "fails"

        def act(self, runtime: Any) -> None:
            raise RuntimeError("no room")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="no room"):
            record.do(Fails("web"))
    assert [fault.end is None for fault in record.faults] == [False, False]


@pytest.mark.parametrize("kind", CHANGES)
def test_every_change_has_its_words(kind: type[Change]) -> None:
    """A new fault that `lab fault` or a chart cannot name; two of one name."""
    assert kind.__doc__ and kind.word and kind.example
    assert [each.word for each in CHANGES].count(kind.word) == 1
    if issubclass(kind, Standing):
        assert "lab fault clear {service}" in kind.said


def test_a_fault_that_fails_half_way_does_not_stay(record: StackRecord) -> None:
    """A cut that is in force on one side, stands in no list, and cannot be lifted."""

    class Half(Standing, frozen=True):
        word: ClassVar[str] = "half"

        def act(self, runtime: Any) -> None:
            runtime.state = "cut"
            raise LabError("The other side cannot be cut.")

        def lift(self, runtime: Any) -> None:
            runtime.state = "ready"

    with pytest.raises(LabError, match="other side"):
        record.do(Half("web"))
    assert record.runtime.replicas()[0].state == "ready"
    assert record.faults == []


class Stuck(Standing, frozen=True):
    """One that is lifted only where its word is not in the way."""

    word: ClassVar[str] = "stuck"
    what: str = ""

    def act(self, runtime: Any) -> None:
        if "half" in self.what:
            raise LabError("It cannot be done.")

    def lift(self, runtime: Any) -> None:
        if "stays" in self.what:
            raise ValueError(f"{self.what} is not lifted")

    def replaces(self, other: Change) -> bool:
        return self == other


def test_all_faults_are_lifted_that_can_be(record: StackRecord) -> None:
    """The first that could not be ended kept all others in force."""
    for what in ("stays 1", "goes", "stays 2", "goes too"):
        record.do(Stuck("web", what))
    with pytest.raises(LabError, match="2 faults of web go on") as caught:
        record.do(Clear("web"))
    assert "stays 1 is not lifted\nstays 2 is not lifted" in caught.value.hint
    assert [fault.end is None for fault in record.faults] == [True, False, True, False]
    with pytest.raises(LabError, match="It cannot be done") as caught:
        record.do(Stuck("web", "half, and stays"))
    assert "half, and stays is not lifted" in Failed.by(caught.value).hint


class Cut(Standing, frozen=True):
    """One that an engine may say nothing of."""

    word: ClassVar[str] = "cut"

    def act(self, runtime: Any) -> None:
        if runtime.state == "gone":
            raise Refused("There is no such service.")
        if runtime.state == "silent":
            raise LabError("The engine is silent.")

    def lift(self, runtime: Any) -> None:
        self.act(runtime)


def test_a_fault_that_can_be_neither_caused_nor_lifted(record: StackRecord) -> None:
    """A cut in force on one side, of which `lab fault clear` said that there is none."""
    record.runtime.state = "silent"
    with pytest.raises(LabError, match="is silent") as caught:
        record.do(Cut("web"))
    assert "Half of it may be in force" in Failed.by(caught.value).hint
    assert [fault.kind for fault in record.faults if fault.end is None] == ["cut"]
    with pytest.raises(LabError, match="is silent"):
        record.do(Clear("web"))
    record.runtime.state = "ready"
    record.do(Clear("web"))
    assert [fault.end is None for fault in record.faults] == [False]


def test_a_fault_that_is_refused_is_not_listed(record: StackRecord) -> None:
    """A delay of a service without a proxy, shown as one that cannot be ended."""
    record.runtime.state = "gone"
    with pytest.raises(Refused) as caught:
        record.do(Cut("web"))
    assert record.faults == []
    assert Failed.by(caught.value).hint == ""
