"""Sphinx in the process of the book's build: what it says, and how it ends."""

import sys
from pathlib import Path
from typing import Any

import pytest

from lab_services.book import jupyter_book


def build(monkeypatch: pytest.MonkeyPatch, ended: Any) -> int:
    def sphinx(*_: Any, **__: Any) -> Any:
        sys.stdout.write("half a ")
        sys.stdout.write("line\nand ")
        sys.stderr.write("one more\n")
        return ended

    monkeypatch.setattr(jupyter_book, "build_sphinx", sphinx)
    return jupyter_book.build(Path("source"), Path("site"), rewrite=str.upper)


def test_whole_lines_are_rewritten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warning whose place is cut in two, and told as nobody knows it."""
    assert build(monkeypatch, 0) == 0
    assert capsys.readouterr() == ("", "HALF A LINE\nAND ONE MORE\n")


def test_a_build_that_raised_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site of yesterday that is published, because an extension broke down."""
    assert build(monkeypatch, ValueError("no extension")) == 1
    assert build(monkeypatch, 2) == 2


def test_an_interrupt_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C taken for a failed build, after which all pages are read anew."""
    with pytest.raises(KeyboardInterrupt):
        build(monkeypatch, KeyboardInterrupt())
