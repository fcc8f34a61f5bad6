"""Two charts beside those of recordings: when things were on, and a table as a picture."""

import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab_services.report import numbers
from lab_services.report.charts import style
from lab_services.report.charts.style import COLOURS, WIDTH, Chart
from lab_services.report.charts.svg import INK

Span = tuple[float, float]


def spans(
    rows: Mapping[str, Sequence[Span]],
    *,
    name: str,
    title: str,
    shaded: Mapping[str, Span],
    groups: Mapping[str, str] | None = None,
    x: str = "seconds",
) -> Chart:
    """When each thing was on, one row each, under the times of what was done.

    `rows["Slow"]` are pairs (from, until); a row may be empty. `shaded["kill"]` is the time of a
    fault. What has not ended is until infinity and reaches the edge; a span with a nan is not
    drawn, and the chart says so. `groups["Slow"]` names what a row belongs to, which gives it its
    colour. Raises ValueError without rows, for more groups than can be told apart, and for a span
    that ends before it begins.

    >>> spans({"Slow": [(3.0, 5.5)]}, shaded={"delay": (2, 5)}, name="alarms", title="Alarms")
    """
    if not rows:
        raise ValueError("A chart of spans needs a row.")
    for begin, end in [*shaded.values(), *(span for found in rows.values() for span in found)]:
        if end < begin:
            raise ValueError(f"A span cannot begin at {begin:g} and end at {end:g}.")
    known, missing = {}, []
    for label, found in rows.items():
        known[label] = [span for span in found if _timed(span)]
        if unknown := len(found) - len(known[label]):
            missing.append(style.gap(f"when {label} was on, {unknown} of {len(found)} times"))
    missing += [style.gap(f"when {label}") for label in shaded if not _timed(shaded[label])]
    shaded = {label: span for label, span in shaded.items() if _timed(span)}
    every = [*shaded.values(), *(span for found in known.values() for span in found)]
    edge = max((end for span in every for end in span if math.isfinite(end)), default=0.0) * 1.03
    edge = edge if edge > 0 else 1.0
    groups = groups or {}
    kinds = list(dict.fromkeys(groups[row] for row in rows if row in groups))
    if kinds:
        style.check_labels(dict.fromkeys(kinds))
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 1.3 + 0.34 * len(rows) + 0.17 * len(shaded)))
        axes = figure.add_subplot()
        for number, (label, (begin, end)) in enumerate(shaded.items()):
            axes.axvspan(begin, min(end, edge), facecolor=INK, alpha=0.12, lw=0)
            axes.axvline(begin, color=INK, lw=1.0)
            # From the left, each on a level of its own: names are longer than what they name.
            axes.annotate(
                label,
                (begin, 1),
                xycoords=("data", "axes fraction"),
                xytext=(2, 3 + 12 * (len(shaded) - 1 - number)),
                textcoords="offset points",
                fontsize=10,
            )
            axes.annotate(
                "",
                (begin, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 13 + 12 * (len(shaded) - 1 - number)),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": INK, "lw": 0.8},
            )
        for place, (label, found) in enumerate(known.items()):
            kind = kinds.index(groups[label]) if label in groups else 0
            widths = [(begin, max(min(end, edge) - begin, 0.1)) for begin, end in found]
            axes.broken_barh(widths, (-place - 0.3, 0.6), facecolors=COLOURS[kind])
        axes.set_yticks([-place for place in range(len(rows))], list(rows))
        axes.set_ylim(0.6 - len(rows), 0.6)
        axes.set_xlim(0, edge)
        style.noted(axes, x, (), missing=missing)
        legend = [
            Line2D([], [], color=COLOURS[at], lw=6, label=kind) for at, kind in enumerate(kinds)
        ]
        words = [f"{label} from {_in_words(span)}" for label, span in shaded.items()]
        told = [
            f"{label}: " + (", ".join(map(_in_words, found)) or "never")
            for label, found in known.items()
            if found or not rows[label]
        ]
        alt = f"Done: {'; '.join(words) or 'nothing'}. On, in {x}: {'; '.join(told)}."
        return style.finish(figure, name, title, style.in_words(alt, missing), legend)


def _timed(span: Span) -> bool:
    return math.isfinite(span[0]) and not math.isnan(span[1])


def _in_words(span: Span) -> str:
    begin, end = span
    return f"{begin:.3g} on" if math.isinf(end) else f"{begin:.3g} to {end:.3g}"


def matrix(
    values: Mapping[str, Mapping[str, float]], *, name: str, title: str, unit: str = "share"
) -> Chart:
    """A table of numbers from 0 to 1, the larger the darker: `values[row][column]`.

    A nan is a number that is not known and has a question mark. Raises ValueError where rows differ
    in their columns or a value is outside 0 to 1.

    >>> matrix({"a fault": {"a detector": 0.9}}, name="found", title="Who finds what")
    """
    columns = list(next(iter(values.values()), {}))
    if not columns or any(list(row) != columns for row in values.values()):
        raise ValueError("Every row of a matrix has the same columns, at least one.")
    table = np.array([[float(row[column]) for column in columns] for row in values.values()])
    if not (np.isnan(table) | ((table >= 0) & (table <= 1))).all():
        raise ValueError("A matrix shows numbers from 0 to 1.")
    # Half transparent at most, so that the text stands out on light and on dark pages.
    red, green, blue = (int(COLOURS[0][at : at + 2], 16) / 255 for at in (1, 3, 5))
    shades = LinearSegmentedColormap.from_list(
        "shades", [(red, green, blue, 0.0), (red, green, blue, 0.5)]
    )
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 1.9 + 0.34 * len(values)))
        axes = figure.add_subplot()
        axes.pcolormesh(
            np.ma.masked_invalid(table[::-1]), cmap=shades, vmin=0, vmax=1, edgecolors="none"
        )
        for (row, column), value in np.ndenumerate(table[::-1]):
            axes.text(
                column + 0.5,
                row + 0.5,
                "?" if math.isnan(value) else _short(value, unit).removesuffix(" %"),
                ha="center",
                va="center",
                fontsize=9.5,
            )
        axes.set_xticks(
            np.arange(len(columns)) + 0.5,
            [textwrap.fill(column, 12) for column in columns],
            rotation=90,
        )
        axes.set_yticks(
            np.arange(len(values)) + 0.5, [textwrap.fill(row, 20) for row in values][::-1]
        )
        axes.tick_params(length=0, labelsize=9.5)
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
        words, missing = [], []
        for row, cells in values.items():
            told = [
                f"{at} {_short(cell, unit)}" for at, cell in cells.items() if not math.isnan(cell)
            ]
            words += [f"{row}: {', '.join(told)}."] if told else []
            gaps = [column for column, cell in cells.items() if math.isnan(cell)]
            missing += [style.gap(f"{row}: {', '.join(gaps)}")] if gaps else []
        style.noted(axes, "numbers are per cent" if unit == "share" else "", (), missing=missing)
        alt = style.in_words(" ".join(words) or "No number is known.", missing)
        return style.finish(figure, name, title, alt)


def _short(value: float, unit: str) -> str:
    return numbers.rounded(round(value, 2), unit)
