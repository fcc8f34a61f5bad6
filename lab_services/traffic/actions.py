"""Things done at given times while traffic runs, such as faults."""

import threading
import time
import traceback
from collections.abc import Callable, Mapping

from lab_services.errors import LabError

Action = Callable[[], object]


class Actions:
    """Each action runs in a thread of its own, so that a slow one does not delay the next."""

    def __init__(self, at: Mapping[float, Action]) -> None:
        self._at = dict(at)
        self._timers: dict[float, threading.Timer] = {}
        self._errors: list[Exception] = []

    def start(self, begin: float) -> None:
        """Times count from `begin` of the monotonic clock."""
        for seconds, action in self._at.items():
            delay = begin + seconds - time.monotonic()
            timer = threading.Timer(max(0.0, delay), self._run, (seconds, action))
            timer.daemon = True
            timer.start()
            self._timers[seconds] = timer

    def cancel(self) -> None:
        """Start none that has not started yet."""
        for timer in self._timers.values():
            timer.cancel()

    def running(self) -> bool:
        """Whether one is still to run or to end."""
        return any(timer.is_alive() for timer in self._timers.values())

    def latest(self) -> float:
        """The last moment at which one begins, in seconds; 0 where there is none."""
        return max(self._at, default=0.0)

    def give_up(self, patience: float) -> None:
        """Wait for none any more, `patience` seconds after the last answer, and after the last has
        begun: each that goes on is an error."""
        for seconds, timer in self._timers.items():
            timer.cancel()
            if timer.is_alive():
                self._errors.append(
                    LabError(
                        f"The action at {seconds:g} s goes on {patience:g} s after the last answer "
                        "and the last action's moment.",
                        "Its thread lives on, and may still act. Give what it waits for a time "
                        "limit. The recording is at traffic.last().",
                    )
                )
        self._timers.clear()

    def note_errors(self, error: BaseException) -> None:
        """Note on an error that ends the run what actions have raised before it."""
        for raised in self._errors:
            error.add_note("".join(traceback.format_exception_only(raised)).rstrip())

    def raise_errors(self) -> None:
        """Raise what actions raised: one error as it is, several as an ExceptionGroup."""
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise ExceptionGroup("actions failed while traffic ran", self._errors)

    def _run(self, seconds: float, action: Action) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - raised in the caller's thread at the end
            error.add_note(
                f"Raised by the action at {seconds:g} s; the recording is at traffic.last()."
            )
            self._errors.append(error)
