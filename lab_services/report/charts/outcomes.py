"""What became of requests over time, where "answered" says too little: right, wrong, refused …"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lab_services.report.charts import style
from lab_services.report.charts.style import COLOURS, MARK, WIDTH, Chart
from lab_services.report.charts.svg import INK
from lab_services.report.charts.timeline import FaultLike, during, head, shade, timed
from lab_services.report.stats import Recorded, note, rows

States = Sequence[tuple[float, str]]
"""When something changed (Unix s), and into which of the states."""

# The first kind is plain, the others differ by hatches too, for eyes that see no colours. Hatches
# are lines: dots weigh 250 KB in an SVG, which draws each one by itself.
_FACES = (COLOURS[2], COLOURS[1], COLOURS[0], COLOURS[3])
_HATCHES = ("", "////", "----", "xxxx")


def outcomes(
    recordings: Mapping[str, Recorded],
    faults: Iterable[FaultLike] = (),
    *,
    kinds: Callable[[pd.DataFrame], "pd.Series[Any]"],
    order: Sequence[str],
    name: str,
    title: str,
    every: float = 0.25,
    strips: Mapping[str, States] | None = None,
    states: Sequence[str] = (),
) -> Chart:
    """Requests per second by what became of them, stacked; one panel a label, faults shaded.

    `strips` gives for a label the changes of something that decides it, such as a circuit, which
    are drawn in a strip below its panel; `states` are its states from below, of which the first is
    that before any change.

    `kinds` names for each row of a recording's table one of `order`, which is stacked from below;
    the good outcome comes first. Bins are `every` seconds long and each panel begins with its own
    first request. A recording without requests has an empty panel, and the chart says so. Raises
    ValueError for more kinds than can be told apart, and for a kind that `order` does not name.

    >>> outcomes({"plain": recording}, stack.faults, kinds=kinds, order=["right", "wrong"],
    ...          name="answers", title="What became of the requests")
    """
    if not 1 <= len(order) <= len(_FACES):
        raise ValueError(f"A chart has 1 to {len(_FACES)} kinds, not {len(order)}.")
    strips = strips or {}
    style.check_labels(recordings, strips)
    faults, missing = timed(faults)
    heights = [h for label in recordings for h in ([1.0, 0.5] if label in strips else [1.0])]
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 1.1 + 1.6 * sum(heights)))
        rows_of = figure.subplots(
            len(heights), 1, sharex=True, squeeze=False, height_ratios=heights
        )
        below = iter(rows_of[:, 0])
        panels = []
        words, longest, highest = [], 0.0, 0.0
        for label, recording in recordings.items():
            panel = next(below)
            panels.append(panel)
            strip = next(below) if label in strips else None
            table = rows(recording)
            panel.set_ylabel("requests/s")
            if table.empty:
                panel.set_title(label, fontweight="bold")
                missing.append(style.gap(label, "no requests"))
                continue
            found = kinds(table)
            if unknown := set(found) - set(order):
                raise ValueError(f"No kind is called {', '.join(sorted(unknown))}.")
            begin, end = float(table["intended"].min()), float(table["intended"].max())
            bins = _binned(table["intended"] - begin, found, order, every)
            edges = np.append(bins.index.to_numpy(), bins.index[-1] + every)
            bottom = np.zeros(len(bins))
            for kind, face, hatch in zip(order, _FACES, _HATCHES, strict=False):
                top = bottom + bins[kind].to_numpy()
                panel.stairs(
                    top, edges, baseline=bottom, fill=True, fc=face, ec=INK, lw=0, hatch=hatch
                )
                bottom = top
            panel.stairs(bottom, edges, color=INK, lw=1.0)
            shade(panel, here := during(faults, begin, end), begin, end)
            head(panel, label, here, begin, end)
            if strip is not None:
                _draw_states(strip, strips[label], states, begin, end)
                shade(strip, here, begin, end)
            longest, highest = max(longest, float(edges[-1])), max(highest, float(bottom.max()))
            words.append(_in_words(label, found, order))
        for panel in panels:
            panel.set_ylim(0, highest * 1.05 or 1.0)
        last = figure.axes[-1]
        last.set_xlim(0, longest or every)
        notes = (note(each) for each in recordings.values())
        style.noted(last, "seconds", notes, missing=missing)
        legend = [
            Patch(fc=face, ec=INK, lw=0, hatch=hatch, label=kind)
            for kind, face, hatch in zip(order, _FACES, _HATCHES, strict=False)
        ]
        alt = style.in_words("What became of requests over time.", [*words, *missing])
        return style.finish(figure, name, title, alt, legend)


def _binned(
    seconds: "pd.Series[float]", found: "pd.Series[Any]", order: Sequence[str], every: float
) -> pd.DataFrame:
    """Requests per second by kind; the index is the beginning of each bin in seconds."""
    places = (seconds // every).astype(int)
    bins = pd.crosstab(places, found) / every
    bins = bins.reindex(index=range(int(places.max()) + 1), columns=list(order), fill_value=0)
    bins = bins.iloc[: max(1, len(bins) - 1)]  # the last bin is rarely full
    bins.index = bins.index * every
    return bins


def _draw_states(
    axes: Axes, changes: States, states: Sequence[str], begin: float, end: float
) -> None:
    """A step for each change; a state between the first and the last is marked, as it may be short.

    Raises ValueError for a state that is none of them.
    """
    places = {state: place for place, state in enumerate(states)}
    if unknown := {state for _, state in changes} - set(states):
        raise ValueError(f"No state is called {', '.join(sorted(unknown))}.")
    before = [places[state] for at, state in changes if at < begin]
    inside = [(at - begin, places[state]) for at, state in changes if begin <= at <= end]
    times, steps = zip((0.0, before[-1] if before else 0), *inside, strict=True)
    axes.step([*times, end - begin], [*steps, steps[-1]], where="post", color=INK, lw=1.4)
    short = [(at, place) for at, place in inside if 0 < place < len(states) - 1]
    if short:  # what is empty has no extent to lay the chart out by
        axes.plot(*zip(*short, strict=True), **{**MARK, "ls": "none"}, marker="D", ms=4)
    axes.set_ylim(-0.5, len(states) - 0.5)
    axes.set_yticks(range(len(states)), states, fontsize=8.5)


def _in_words(label: str, found: "pd.Series[Any]", order: Sequence[str]) -> str:
    counts = found.value_counts()
    return f"{label}: {', '.join(f'{counts.get(kind, 0)} {kind}' for kind in order)}."
