"""The sources of a book with one small chapter, and its lab."""

from pathlib import Path

import nbformat

PAGE = """# Small

It gains {measured}`serving/small:gain`.

```{run-info} serving/small
```

```{figure-from-run} serving/small:gain
The gain.
```

```{claims-from-run} serving/small
```

```{literalinclude} /lab_services/patterns/serving/small/app.py
```

With $\\frac{c}{S}$, see {doc}`the lab </labs/serving/small>`.
"""
TOC = """format: jb-book
root: book/index
chapters:
  - file: book/serving/small
    sections:
      - file: labs/serving/small
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
claims.measured("it gains", gain, at_least=1.2, rival=("it costs", 0.8))
claims.verdicts()
"""
SETTLE = "claims.check()"
GOOD = (MEASURE, FIGURE, CLAIM, SETTLE)


def lab(file: Path, *cells: str, text: str = "") -> Path:
    """A notebook of these code cells; the one that prints verdicts is compared by nbval."""
    made = [nbformat.v4.new_markdown_cell(f"# A small lab\n\n{text}")]
    for source in cells:
        tags = ["nbval-check-output"] if "verdicts()" in source else []
        made.append(nbformat.v4.new_code_cell(source.strip(), metadata={"tags": tags}))
    file.parent.mkdir(parents=True, exist_ok=True)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "lab_services": {"short": {}}}
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=metadata), file)
    return file
