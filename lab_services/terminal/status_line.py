"""One line of text, rewritten while something runs: in a notebook, at a terminal, in a log."""

import sys
from types import TracebackType
from typing import Any, Self


def in_notebook() -> bool:
    """True inside a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


class LiveLine:
    """A context manager with one line; where none can be rewritten, the last text is shown."""

    def __init__(self) -> None:
        self._text = ""
        self._handle: Any = None

    def __enter__(self) -> Self:
        if in_notebook():
            from IPython.display import display

            self._handle = display(_Plain(""), display_id=True)  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is None and self._text:
            end = "\r\033[K" if sys.stderr.isatty() else ""
            sys.stderr.write(f"{end}{self._text}\n")
            sys.stderr.flush()

    def update(self, text: str) -> None:
        """Show this text in place of the last one."""
        self._text = text
        if self._handle is not None:
            self._handle.update(_Plain(text))
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()


class _Plain:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text
