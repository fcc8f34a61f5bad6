"""Raw rows, kept by a listener of Locust's own request event and sent on in portions."""

from collections.abc import Callable
from typing import BinaryIO

import gevent
from gevent.event import Event

from lab_services.traffic.plan import Rows, write_frame

# Seconds: often enough for a live line, seldom enough to cost nothing.
_EVERY = 0.25


class Recorder:
    """Locust's statistics round to whole milliseconds: these columns hold what was measured."""

    def __init__(self, stream: BinaryIO, sent: Callable[[], int]) -> None:
        self._stream = stream
        self._sent = sent
        self._rows = Rows()
        self._ended = Event()
        self._flushing = gevent.spawn(self._flush_regularly)

    def on_request(
        self,
        *,
        number: int,
        started: float,
        ended: float,
        status: int,
        response_length: int,
        error: str,
        **_: object,
    ) -> None:
        """Listener of `environment.events.request`."""
        rows = self._rows
        if error:
            rows.errors[len(rows.numbers)] = error
        rows.numbers.append(number)
        rows.started.append(started)
        rows.ended.append(ended)
        rows.status.append(status)
        rows.size.append(response_length)

    def finish(self) -> None:
        """Send what is left."""
        self._ended.set()
        self._flushing.join()

    def _flush_regularly(self) -> None:
        while True:
            ended = self._ended.wait(_EVERY)
            rows, self._rows = self._rows, Rows()
            rows.sent = self._sent()
            write_frame(self._stream, "rows", rows)
            if ended:
                return
