"""Jupyter Book, in this process: most of what it needs seconds to import is here already."""

import contextlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from jupyter_book.sphinx import build_sphinx  # type: ignore[import-untyped]


class _Rewritten(io.TextIOBase):
    """Writes each whole line to `to`, as `rewrite` gives it."""

    def __init__(self, to: TextIO, rewrite: Callable[[str], str]) -> None:
        self._to, self._rewrite = to, rewrite
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._to.write(f"{self._rewrite(line)}\n")
        self._to.flush()
        return len(text)

    def writable(self) -> bool:
        return True


def build(source: Path, site: Path, *, rewrite: Callable[[str], str]) -> int:
    """Build the site of a book's staged source; gives Sphinx's exit code, 1 also where it raised.

    A warning is an error, a missing number as well as a broken link; all are reported. What is
    said goes to standard error, each line as `rewrite` gives it.
    """
    source, site = source.absolute(), site.absolute()
    out = _Rewritten(sys.stderr, rewrite)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        ended = build_sphinx(
            source,
            site,
            noconfig=True,
            path_config=source / "_config.yml",
            confoverrides={
                "external_toc_path": str(source / "_toc.yml"),
                "latex_individualpages": False,
                "nitpicky": True,
            },
            builder="html",
            warningiserror=True,
            keep_going=True,
        )
    if isinstance(ended, KeyboardInterrupt):
        raise ended  # it is caught there, and handed back like a failed build
    return 1 if isinstance(ended, Exception) else int(ended)
