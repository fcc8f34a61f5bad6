"""Each answer as a point: when it was asked for, and how long it took."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab_services.report import numbers
from lab_services.report.charts import style
from lab_services.report.charts.series import Points, line_in_words
from lab_services.report.charts.style import COLOURS, MARKERS, WIDTH, Chart
from lab_services.report.charts.svg import INK
from lab_services.report.charts.timeline import FaultLike, during, head, in_words, shade, timed

Looks = Mapping[str, Mapping[str, Any]]
"""For each kind, how its points are drawn."""

_SIZES = (3.2, 2.8, 3.2, 2.8)  # hundreds of points in a panel
_NEVER: dict[str, Any] = {"color": INK, "marker": "x", "ls": "none", "ms": 4.5, "mew": 1.0}


def scatter(
    panels: Mapping[str, pd.DataFrame],
    faults: Iterable[FaultLike] = (),
    *,
    order: Sequence[str],
    name: str,
    title: str,
    y: str = "answer after",
    theory: Mapping[str, Points] | None = None,
) -> Chart:
    """When each answer was asked for, and how long it took; one panel a label, faults shaded.

    For hundreds of answers: each is an element of the picture, and thousands weigh a page down.
    A panel's table has a row an answer: `asked` (Unix seconds), `took` (seconds, infinite where it
    never came) and `kind`, one of `order`. Each panel begins with its own first answer, and all
    have the same axes. `theory["queue"]` are moments (Unix seconds) and the seconds expected of
    who asks then. A panel without a row is empty, and the chart says so, as it does of answers that
    took no time above 0. Raises ValueError for more panels or kinds than can be told apart, and for
    a kind that `order` does not name.

    >>> scatter({"queue": answers}, stack.faults, order=["whole", "partial"],
    ...         name="stall", title="A branch stands still")
    """
    theory = theory or {}
    style.check_labels(panels, theory)
    style.check_labels(dict.fromkeys(order))
    if unknown := {kind for table in panels.values() for kind in table["kind"]} - set(order):
        raise ValueError(f"No kind is called {', '.join(sorted(unknown))}.")
    looks: Looks = {
        kind: {"color": COLOURS[at], "marker": MARKERS[at], "ms": _SIZES[at], "ls": "none"}
        for at, kind in enumerate(order)
    }
    faults, missing = timed(faults)
    took = np.concatenate([table["took"].to_numpy(dtype=float) for table in panels.values()])
    expected = {label: np.asarray(values, dtype=float) for label, (_, values) in theory.items()}
    drawn = np.concatenate([took, *expected.values()])
    drawn = drawn[_placed(drawn)]
    least, most = (float(drawn.min()), float(drawn.max())) if drawn.size else (1.0, 1.0)
    never, edge = bool(np.isinf(took).any()), 2 * most
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 0.9 + (2.8 - 0.3 * len(panels)) * len(panels)))
        rows = figure.subplots(len(panels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        rows[0].set(yscale="log", ylim=(least / 1.5, (edge if never else most) * 1.5))
        words, unplaced, longest = [], [], 0.0
        for axes, (label, table) in zip(rows, panels.items(), strict=True):
            axes.set_ylabel(y)
            style.unit_axis(axes, "y", "s", room=1.2)
            axes.locator_params("y", numticks=6)  # each decade, where there is room
            if table.empty:
                axes.set_title(label, fontweight="bold")
                missing.append(style.gap(label, "nobody asked"))
                continue
            begin, end = float(table["asked"].min()), float(table["asked"].max())
            longest = max(longest, end - begin)
            words.append(f"{label}: {_draw(axes, table, begin, looks, edge)}.")
            if lost := int((~(_placed(table["took"]) | np.isinf(table["took"]))).sum()):
                what = f"how long {lost} of {len(table)} answers of {label} took"
                unplaced.append(style.gap(what, "no time above 0"))
            if label in theory:
                at = np.asarray(theory[label][0], dtype=float)
                axes.plot(at - begin, expected[label], **style.theory())
                if np.isfinite(expected[label]).any():
                    words.append(f"Theory: {line_in_words(expected[label], 's')}.")
                else:
                    missing.append(style.gap(f"the theory of {label}"))
            shade(axes, here := during(faults, begin, end), begin, end)
            head(axes, label, here, begin, end)
            words += [f"Fault: {told}" for told in in_words(here, begin)]
        missing += unplaced
        rows[-1].set_xlim(0, longest or 1.0)
        style.noted(rows[-1], "seconds", [], missing=missing)
        shown = {kind for table in panels.values() for kind in table["kind"]}
        legend = [Line2D([], [], label=kind, **looks[kind]) for kind in order if kind in shown]
        if never:
            legend.append(Line2D([], [], label="never came", **_NEVER))
        if theory:
            legend.append(Line2D([], [], **style.theory(), label="line: theory"))
        alt = style.in_words(
            "Seconds until the answer, by when it was asked for.", [*words, *missing]
        )
        return style.finish(figure, name, title, alt, legend)


def _placed(seconds: Any) -> Any:
    """Which have a place on a logarithmic axis."""
    return np.isfinite(seconds) & (seconds > 0)


def _draw(
    axes: Axes,
    table: pd.DataFrame,
    begin: float,
    looks: Looks,
    edge: float,
) -> str:
    """Draw the points of a panel, at the `edge` what never came; what they show, in words."""
    words = []
    for kind, look in looks.items():
        own = table[table["kind"] == kind]
        came = own[_placed(own["took"])]
        never = own[np.isinf(own["took"])]
        parts = [f"{len(came)} {kind}"]
        if len(came):  # what is empty has no extent to lay the chart out by
            axes.plot(came["asked"] - begin, came["took"], mew=1.0, **look)
            least, most = (numbers.written(float(end(came["took"])), "s") for end in (min, max))
            parts.append(f"after {least} to {most}")
        if len(never):
            axes.plot(never["asked"] - begin, np.full(len(never), edge), **_NEVER)
            parts.append(f"{len(never)} never")
        if len(own):
            words.append(", ".join(parts))
    return "; ".join(words)
