"""Roles of pages and labs, such as the one that puts in a measured number."""

from pathlib import Path

import pytest

from lab_services import paths
from tests.book.prose import texts

ROOT = paths.repository()
FILES = sorted([*ROOT.glob("book/**/*.md"), *ROOT.glob("labs/*/*.ipynb")])


def unclosed(file: Path) -> list[str]:
    """What stands on the page as it was typed, in place of what a role makes of it."""
    return [f"{place}: {text}" for text, place in texts(file) if "}`" in text]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_role_is_closed(file: Path) -> None:
    """Braces and a name where a number should be, of which Sphinx warns nobody."""
    assert not unclosed(file)


def test_a_role_that_is_not_closed_is_found(tmp_path: Path) -> None:
    """A test that no page can fail."""
    page = tmp_path / "page.md"
    page.write_text("Rounds of {measured}`a/b:c, and more.\n")
    assert len(unclosed(page)) == 1
    page.write_text("Rounds of {measured}`a/b:c`, and {doc}`more </d>`.\n\n`{doc}` is a role.\n")
    assert not unclosed(page)
