"""Labs made on the spot, good and broken."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

PAGE = """# Small

It gains {measured}`gates/small:gain`.

```{run-info} gates/small
```

```{figure-from-run} gates/small:gain
The gain.
```

```{claims-from-run} gates/small
```

```{literalinclude} /lab_services/patterns/gates/small/app.py
```

With $\\frac{c}{S}$, see {doc}`the lab </labs/gates/small>`.
"""
TOC = """format: jb-book
root: book/index
chapters:
  - file: book/gates/small
    sections:
      - file: labs/gates/small
"""
COMPOSE = "services:\n  app:\n    image: lab\n    command: [python, -m, app]\n"
MEASURE = """
from lab_services import Claims, charts, keep, report
gain = report.Interval(1.4, 1.3, 1.5, 100, "ratio")
keep("gain", gain)
"""
FIGURE = "charts.bars({'a': gain}, name='gain', title='Gain')"
CLAIM = """
import os
claims = Claims()
claims.claim("it gains", gain, at_least=1.2)
claims.verdicts()
"""
SETTLE = "claims.settle()"
GOOD = (MEASURE, FIGURE, CLAIM, SETTLE)

Make = Callable[..., Path]


@pytest.fixture
def book(tmp_path: Path) -> Make:
    """Make the sources of a book with one chapter, gates/small; gives its root."""

    def make(*cells: str, page: str = PAGE, toc: str = TOC, text: str = "") -> Path:
        config = Path(__file__).parents[2] / "_config.yml"
        pattern = "lab_services/patterns/gates/small"
        for name, content in {
            "_config.yml": config.read_text(),
            "_toc.yml": toc,
            "book/index.md": "# A book\n",
            "book/gates/small.md": page,
            f"{pattern}/app.py": "app = None\n",
            f"{pattern}/compose.yaml": COMPOSE,
        }.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        lab(tmp_path / "labs/gates/small.ipynb", *cells, text=text)
        return tmp_path

    return make


def lab(file: Path, *cells: str, text: str = "") -> Path:
    """A notebook of these code cells; the one that prints verdicts is compared by nbval."""
    made = [nbformat.v4.new_markdown_cell(f"# A small lab\n\n{text}")]
    for source in cells:
        tags = ["nbval-check-output"] if "verdicts()" in source else []
        made.append(nbformat.v4.new_code_cell(source.strip(), metadata={"tags": tags}))
    file.parent.mkdir(parents=True, exist_ok=True)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel}), file)
    return file
