"""Books made on the spot, good and broken."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_book import COMPOSE, PAGE, TOC, lab

Make = Callable[..., Path]


@pytest.fixture
def book(tmp_path: Path) -> Make:
    """Make the sources of a book with one chapter, serving/small; gives its root."""

    def make(*cells: str, page: str = PAGE, toc: str = TOC, text: str = "") -> Path:
        config = Path(__file__).parents[2] / "_config.yml"
        pattern = "lab_services/patterns/serving/small"
        for name, content in {
            "_config.yml": config.read_text(),
            "_toc.yml": toc,
            "book/index.md": "# A book\n",
            "book/serving/small.md": page,
            f"{pattern}/app.py": "app = None\n",
            f"{pattern}/compose.yaml": COMPOSE,
        }.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        lab(tmp_path / "labs/serving/small.ipynb", *cells, text=text)
        return tmp_path

    return make
