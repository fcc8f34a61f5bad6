"""Lines over time or over a size: what was there at each moment, and what theory expects."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lab_services.report import numbers
from lab_services.report.charts import style
from lab_services.report.charts.style import COLOURS, DASHES, MARK, WIDTH, Chart
from lab_services.report.charts.svg import INK
from lab_services.report.charts.timeline import (
    SHADE,
    FaultLike,
    during,
    in_words,
    name_faults,
    shade,
    timed,
)

Points = tuple[npt.ArrayLike, npt.ArrayLike]
"""The places on the x axis, and the values there."""


def series(
    lines: Mapping[str, Points],
    *,
    name: str,
    title: str,
    y: str,
    x: str = "seconds",
    unit: str = "",
    theory: Mapping[str, Points] | None = None,
    marks: Sequence[float] = (),
    mark: str = "",
    faults: Iterable[FaultLike] = (),
    shaded: str = "",
    begin: float = 0.0,
    log_x: bool = False,
) -> Chart:
    """A line a label, and a thin one for what theory expects of it.

    `unit` is that of the values. `marks` are places of upright lines, and `mark` says what happens
    there. `faults` are shaded and named, and `shaded` says what they are, where the names do not;
    one that ends as it begins is a line, with a `mark` one of those. x is 0 at their `begin`. With
    `log_x` the x axis is logarithmic, in seconds. Raises ValueError for more lines than can be told
    apart, and for theory without a line. A line of which nothing is known is missing, and the chart
    says so.

    >>> series({"1 worker": (at, depth)}, name="depth", title="The queue", y="jobs")
    """
    theory = theory or {}
    style.check_labels(lines, theory)
    found, missing = timed(faults)
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 3.6))
        axes = figure.add_subplot()
        if log_x:
            axes.set_xscale("log")
        legend: list[Line2D | Patch] = []
        words = []
        for index, (label, points) in enumerate(lines.items()):
            look: dict[str, Any] = {"color": COLOURS[index], "ls": DASHES[index], "lw": 2.2}
            legend.append(Line2D([], [], **look, label=label))
            drawn = [(label, label, points, look)]
            if label in theory:
                drawn.append(("Theory", f"the theory of {label}", theory[label], style.theory()))
            for called, what, (at, values), how in drawn:
                known = np.asarray(values, dtype=float)
                axes.plot(at, known, **how)
                if np.isfinite(known).any():
                    words.append(f"{called}: {line_in_words(known, unit)}.")
                else:
                    missing.append(style.gap(what))
        if theory:
            legend.append(Line2D([], [], **style.theory(), label="line: theory"))
        if mark:
            legend.append(Line2D([], [], **MARK, label=mark))
        if shaded:
            legend.append(Patch(facecolor=INK, alpha=SHADE, label=shaded))
        places = np.concatenate([np.asarray(at, dtype=float) for at, _ in lines.values()])
        places = places[np.isfinite(places)]
        left, right = (float(places.min()), float(places.max())) if places.size else (0.0, 1.0)
        found = during(found, begin + left, begin + right)
        moments = [fault for fault in found if mark and fault.end == fault.start]
        for place in [*marks, *(fault.start - begin for fault in moments)]:
            axes.axvline(place, **MARK)
        shade(axes, [fault for fault in found if fault not in moments], begin, begin + right)
        name_faults(axes, found, begin, begin + right, (left, right))
        words += in_words(found, begin)
        axes.set(xlim=(left, right), ylabel=y)
        axes.set_ylim(bottom=0)
        style.unit_axis(axes, "y", unit)
        if log_x:
            style.unit_axis(axes, "x", "s")
        style.noted(axes, x, [], missing=missing)
        alt = style.in_words(f"{y} by {x}.", [*words, *missing])
        return style.finish(figure, name, title, alt, legend)


def line_in_words(values: npt.NDArray[np.float64], unit: str) -> str:
    """How a line goes; one with gaps, piece by piece."""
    words = []
    for part in np.split(values, np.flatnonzero(~np.isfinite(values))):
        if not (piece := part[np.isfinite(part)]).size:
            continue
        first, most, last = (
            numbers.written(float(value), unit) for value in (piece[0], piece.max(), piece[-1])
        )
        words.append(f"{first} at first, at most {most}, {last} at the end")
    return "; then ".join(words)
