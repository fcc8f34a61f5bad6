"""Raw rows, kept as they come and sent on in portions."""

import gevent
from gevent.event import Event

from lab_services.traffic.generator.connections import Answer
from lab_services.traffic.generator.outbox import Outbox
from lab_services.traffic.plan import Rows

# Seconds: often enough for a live line, seldom enough to cost nothing.
_EVERY = 0.25


class Recorder:
    """Locust's statistics round to whole milliseconds: these columns hold what was measured.

    No listener of Locust's request event: there a fault is logged, and its row lost without a word.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._rows = Rows()
        self.sent = 0
        self._ended = Event()
        self._flushing = gevent.spawn(self._flush_regularly)

    def add(self, number: int, answer: Answer, *, warmup: bool) -> None:
        """Keep what came of a request."""
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
        rows.warmup.append(warmup)

    def finish(self) -> None:
        """Send what is left."""
        self._ended.set()
        self._flushing.join()

    def _flush_regularly(self) -> None:
        while True:
            ended = self._ended.wait(_EVERY)
            rows, self._rows = self._rows, Rows()
            rows.sent = self.sent
            self._outbox.put("rows", rows)
            if ended:
                return
