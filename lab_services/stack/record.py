"""One stack of a supervisor, and what is done to it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from operator import is_
from typing import TYPE_CHECKING

from lab_services.errors import LabError, Refused
from lab_services.stack.faults import Change, Clear, Lasting, Passing, Standing
from lab_services.stack.messages import Description, Fault

if TYPE_CHECKING:
    from lab_services.stack.faults import AnyRuntime


@dataclass
class _Entry:
    fault: Fault
    change: Change


@dataclass
class StackRecord:
    """One stack and what was done to it. Orders come in several threads."""

    ident: str
    lab: str
    runtime: "AnyRuntime"
    # `up` has ended, so or so.
    up_finished: threading.Event = field(default_factory=threading.Event)
    _entries: list[_Entry] = field(default_factory=list)
    # Held while the list is looked through and changed, not while something is done to the stack:
    # a replica can be killed in the middle of a rollout.
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def faults(self) -> list[Fault]:
        """In the order in which they began."""
        with self._lock:
            return [entry.fault for entry in self._entries]

    def describe(self) -> Description:
        """What the stack is and how its replicas are."""
        return Description(
            self.ident,
            self.lab,
            self.runtime.name,
            str(self.runtime.compose.path),
            self.runtime.states(),
            self.faults,
        )

    def do(self, change: Change) -> None:
        """Cause a fault, mend it, change the stack; it stands in the list with its time."""
        begin = time.time()
        match change:
            case Passing():
                self._add(change, begin)
                try:
                    change.act(self.runtime)
                finally:
                    self._end(partial(is_, change))
            case Standing():
                try:
                    change.act(self.runtime)
                except Refused:
                    raise
                except BaseException as error:
                    # Half of it may be in force: nothing stands that the list does not name.
                    try:
                        change.lift(self.runtime)
                        self._end(change.replaces)
                    except Exception as left:  # noqa: BLE001 - what has failed first is told
                        self._stand(change, begin)
                        error.add_note(
                            f"Half of it may be in force (lab fault clear {change.service}): {left}"
                        )
                    raise
                self._stand(change, begin)
            case Lasting():
                change.act(self.runtime)
                self._add(change, begin)
            case Clear():
                change.act(self.runtime)
                self._lift(change.service)
            case _:
                change.act(self.runtime)
        replicas = self.runtime.replicas()
        self._end(lambda each: isinstance(each, Lasting) and each.is_over(replicas))

    def _lift(self, service: str) -> None:
        with self._lock:
            lasting = [entry.change for entry in self._entries if entry.fault.end is None]
        errors: list[Exception] = []
        for change in lasting:
            if isinstance(change, Standing) and service in change.services:
                try:
                    change.lift(self.runtime)
                    self._end(partial(is_, change))
                except Exception as error:  # noqa: BLE001 - the others are to end all the same
                    errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            told = "\n".join(str(error) for error in errors)
            raise LabError(f"{len(errors)} faults of {service} go on.", told) from errors[0]

    def _stand(self, change: Standing, begin: float) -> None:
        self._end(change.replaces, begin)
        self._add(change, begin)

    def _add(self, change: Change, begin: float) -> None:
        fault = Fault(
            change.word, change.service, change.replica_number, begin, detail=change.detail
        )
        with self._lock:
            self._entries.append(_Entry(fault, change))

    def _end(self, over: Callable[[Change], bool], at: float | None = None) -> None:
        """End the faults of which that is true, at a moment in Unix seconds or now."""
        with self._lock:
            for entry in self._entries:
                if entry.fault.end is None and over(entry.change):
                    entry.fault = replace(entry.fault, end=at or time.time())
