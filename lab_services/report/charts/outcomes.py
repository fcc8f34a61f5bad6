"""What became of requests over time, where "answered" says too little: right, wrong, refused …"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lab_services.report.charts import style
from lab_services.report.charts.style import COLOURS, WIDTH, Chart
from lab_services.report.charts.svg import INK
from lab_services.report.charts.timeline import FaultLike, name_faults, shade, timed
from lab_services.report.stats import Recorded, note, rows

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
) -> Chart:
    """Requests per second by what became of them, stacked; one panel a label, faults shaded.

    `kinds` names for each row of a recording's table one of `order`, which is stacked from below;
    the good outcome comes first. Bins are `every` seconds long and each panel begins with its own
    first request. A recording without requests has an empty panel, and the chart says so. Raises
    ValueError for more kinds than can be told apart, and for a kind that `order` does not name.

    >>> outcomes({"plain": recording}, stack.faults, kinds=kinds, order=["right", "wrong"],
    ...          name="answers", title="What became of the requests")
    """
    if not 1 <= len(order) <= len(_FACES):
        raise ValueError(f"A chart has 1 to {len(_FACES)} kinds, not {len(order)}.")
    style.check_labels(recordings)
    faults, missing = timed(faults)
    with style.style(name):
        figure = Figure(figsize=(WIDTH, 1.1 + 1.6 * len(recordings)))
        panels = figure.subplots(len(recordings), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        words, longest, highest = [], 0.0, 0.0
        for panel, (label, recording) in zip(panels, recordings.items(), strict=True):
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
            here = [f for f in faults if f.start < end and (f.end is None or f.end > begin)]
            shade(panel, here, begin, end)
            name_faults(panel, here, begin, end)
            panel.set_title(label, fontweight="bold", pad=6 + 12 * min(len(here), 2))
            longest, highest = max(longest, float(edges[-1])), max(highest, float(bottom.max()))
            words.append(_in_words(label, found, order))
        panels[-1].set(xlim=(0, longest or every), ylim=(0, highest * 1.05 or 1.0))
        notes = (note(each) for each in recordings.values())
        style.noted(panels[-1], "seconds", notes, missing=missing)
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


def _in_words(label: str, found: "pd.Series[Any]", order: Sequence[str]) -> str:
    counts = found.value_counts()
    told = ", ".join(f"{counts.get(kind, 0)} {kind}" for kind in order)
    return f"{label}: {told}."
