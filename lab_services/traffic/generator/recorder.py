"""Raw rows, kept by a listener of Locust's own request event and sent on in portions."""

from collections.abc import Callable

import gevent
from gevent.event import Event

from lab_services.traffic.generator.connections import Answer
from lab_services.traffic.generator.outbox import Outbox
from lab_services.traffic.plan import Rows

# Seconds: often enough for a live line, seldom enough to cost nothing.
_EVERY = 0.25


class Recorder:
    """Locust's statistics round to whole milliseconds: these columns hold what was measured."""

    def __init__(self, outbox: Outbox, sent: Callable[[], int]) -> None:
        self._outbox = outbox
        self._sent = sent
        self._rows = Rows()
        self._ended = Event()
        self._flushing = gevent.spawn(self._flush_regularly)

    def on_request(self, *, number: int, answer: Answer, **_: object) -> None:
        """Listener of `environment.events.request`."""
        rows = self._rows
        if answer.error:
            rows.errors[len(rows.numbers)] = answer.error
        if answer.by:
            rows.by[len(rows.numbers)] = answer.by
        rows.numbers.append(number)
        rows.started.append(answer.started)
        rows.ended.append(answer.ended)
        rows.status.append(answer.status)
        rows.size.append(answer.size)

    def finish(self) -> None:
        """Send what is left."""
        self._ended.set()
        self._flushing.join()

    def _flush_regularly(self) -> None:
        while True:
            ended = self._ended.wait(_EVERY)
            rows, self._rows = self._rows, Rows()
            rows.sent = self._sent()
            self._outbox.put("rows", rows)
            if ended:
                return
