"""Raw rows, kept as they come and sent on in portions."""

import gevent
from gevent.event import Event

from lab_services.traffic.generator.connections import Response
from lab_services.traffic.generator.frame_writer import FrameWriter
from lab_services.traffic.plan import ResultBatch

# Seconds: often enough for a live line, seldom enough to cost nothing.
_EVERY = 0.25


class Recorder:
    """Locust's statistics round to whole milliseconds: these columns hold what was measured.

    No listener of Locust's request event: there a fault is logged, and its row lost without a word.
    """

    def __init__(self, frames: FrameWriter) -> None:
        self._frames = frames
        self._rows = ResultBatch()
        self.sent = 0
        self._ended = Event()
        self._flushing = gevent.spawn(self._flush_regularly)

    def add(self, number: int, answer: Response, *, warmup: bool) -> None:
        """Keep what came of a request."""
        rows = self._rows
        if answer.error:
            rows.errors[len(rows.arrival_index)] = answer.error
        if answer.by:
            rows.by[len(rows.arrival_index)] = answer.by
        rows.arrival_index.append(number)
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
            rows, self._rows = self._rows, ResultBatch()
            rows.sent = self.sent
            self._frames.put("rows", rows)
            if ended:
                return
