"""The picture of the README: a figure of a kept run as a file that stands alone.

    python -m lab_services.book.readme RUN FIGURE

RUN is the folder of a kept run, for example runs/docker/serving/prediction-circuit-break. A chart
takes its colours from the page around it; this one has none, so it asks the browser for light or
dark itself. When, where and on what it was measured stands in the picture, since a README cannot
take that from a run.
"""

import argparse
import html
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from lab_services import paths
from lab_services.book.from_run import provenance
from lab_services.errors import LabError
from lab_services.runs.run import Run

_STYLE = (
    "svg { color: #1f2328 } @media (prefers-color-scheme: dark) { svg { color: #e6edf3 } } "
    "text.origin { font: 8px system-ui, sans-serif; fill: currentColor; opacity: 0.75 }"
)
_FOOT = 16  # of the chart's own units, for the line below it
_SCALE = 1.4  # pixels a unit


def standalone(run: Run, name: str) -> str:
    """The SVG. Raises LabError where the run does not hold the figure."""
    _, chart = run.figure(name)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', chart).groups()  # type: ignore[union-attr]
    # The inner size would be the whole; in place of that it gets its share.
    chart = re.sub(
        r'style="display:block[^"]*"', f'width="{width}" height="{height}"', chart, count=1
    )
    origin = provenance(run)
    whole = float(height) + _FOOT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {whole:g}" '
        f'width="{float(width) * _SCALE:.0f}" height="{whole * _SCALE:.0f}">\n'
        f"<style>{_STYLE}</style>\n"
        f'{chart.strip()}\n<text class="origin" x="{width}" y="{whole - 4:g}" text-anchor="end">'
        f"{html.escape(origin[0].upper() + origin[1:])}</text>\n</svg>\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab_services.book.readme", description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of a kept run")
    parser.add_argument("figure", help="its figure's name")
    chosen = parser.parse_args(arguments)
    try:
        drawn = standalone(Run.load(chosen.run), chosen.figure)
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    (paths.repository() / "book" / "images" / "readme.svg").write_text(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
