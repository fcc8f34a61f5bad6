"""The way back to the caller."""

from typing import BinaryIO

from gevent.lock import RLock

from lab_services.traffic.plan import write_frame


class FrameWriter:
    """Frames on a pipe: one at a time, and a full pipe stops nobody but who writes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = RLock()

    def put(self, kind: str, content: object = None) -> None:
        with self._lock:
            write_frame(self._stream, kind, content)
