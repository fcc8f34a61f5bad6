"""What is said of a run while it runs."""

from lab_services.terminal.status_line import LiveLine
from lab_services.traffic.collector import Collector


class SendStatus(LiveLine):
    """One line on a run of so many seconds, or of `count` requests."""

    def __init__(self, title: str, seconds: float, count: int | None = None) -> None:
        super().__init__()
        self._title = f"{title}: " if title else ""
        self._seconds = seconds
        self._count = count

    def __enter__(self) -> "SendStatus":
        super().__enter__()
        return self

    def show(self, elapsed: float, collector: Collector) -> None:
        """`elapsed` is below 0 while the warm-up runs."""
        when = f"{min(elapsed, self._seconds):.1f}/{self._seconds:.1f} s"
        if self._count is not None:
            when = f"{collector.measured}/{self._count} requests"
        if elapsed < 0:
            when = "warming up"
        p50 = collector.recent_p50()
        latency = "" if p50 is None else f"  p50 {p50 * 1000:.1f} ms (last second)"
        self.say(
            f"{when}  sent {collector.sent}  answered {collector.answered}"
            f"  errors {collector.failed}{latency}"
        )

    def say(self, text: str) -> None:
        """Show a line that stays when it is the last one."""
        self.update(f"{self._title}{text}")
