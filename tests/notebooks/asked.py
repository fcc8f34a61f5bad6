"""What the book's pages ask of the run of a lab."""

import re
from pathlib import Path

from lab_services.book import chapters, front_matter

_ROLE = r"\{measured(?:-range)?\}`"
_FIGURE = r"\{figure-from-run\} +"


def numbers(root: Path, lab: str) -> set[str]:
    """The names of numbers that any page or lab asks for, and the chapter's key numbers."""
    page = root / chapters.file("page", lab)
    keys = front_matter.key_numbers(page.read_text(), page.name)
    return {number.name for number in keys} | _named(root, _ROLE, lab)


def figures(root: Path, lab: str) -> set[str]:
    """The names of figures that any page or lab asks for."""
    return _named(root, _FIGURE, lab)


def _named(root: Path, before: str, lab: str) -> set[str]:
    pattern = re.compile(rf"{before}{re.escape(lab)}:([\w-]+)")
    files = [*root.glob("book/**/*.md"), *root.glob("labs/*/*.ipynb")]
    return {name for file in files for name in pattern.findall(file.read_text())}
