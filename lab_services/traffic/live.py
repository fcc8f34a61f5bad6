"""One line that changes while traffic runs: at a terminal, in a notebook, nowhere else."""

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from lab_services.traffic.tally import Tally


class Line(Protocol):
    """A place where one line is shown and changed."""

    def show(self, text: str) -> None: ...

    def close(self) -> None: ...


class TerminalLine:
    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def show(self, text: str) -> None:
        self._live.update(Text(text), refresh=True)

    def close(self) -> None:
        self._live.stop()


class NotebookLine:
    """An output of the cell that is replaced in place, so that an executed notebook keeps one."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, text: str) -> None:
        from IPython.display import display

        data = {"text/plain": text}
        if self._handle is None:
            self._handle = display(  # type: ignore[no-untyped-call]
                data, raw=True, display_id=True
            )
        else:
            self._handle.update(data, raw=True)

    def close(self) -> None:
        """The last text stays."""


class NoLine:
    def show(self, text: str) -> None:
        """Logs of a headless run stay free of progress."""

    def close(self) -> None:
        """Nothing was shown."""


def line() -> Line:
    """The line that fits where this process runs; standard output stays free for results."""
    if _in_kernel():
        return NotebookLine()
    console = Console(stderr=True)
    return TerminalLine(console) if console.is_terminal else NoLine()


class Progress(AbstractContextManager["Progress"]):
    """What is known of a run while it runs; `total` is in seconds."""

    def __init__(self, title: str, total: float) -> None:
        self._title = f"{title}: " if title else ""
        self._total = total
        self._line = line()

    def show(self, elapsed: float, tally: Tally) -> None:
        """`elapsed` is below 0 while the warm-up runs."""
        when = f"{min(elapsed, self._total):.1f}/{self._total:.1f} s"
        if elapsed < 0:
            when = "warming up"
        p50 = tally.recent_p50()
        latency = "-" if p50 is None else f"{p50 * 1000:.1f} ms"
        self._line.show(
            f"{self._title}{when}  sent {tally.sent}  answered {tally.answered}"
            f"  errors {tally.failed}  p50 of the last second {latency}"
        )

    def finish(self, text: str) -> None:
        """The line that stays."""
        self._line.show(f"{self._title}{text}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.close()


def _in_kernel() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
