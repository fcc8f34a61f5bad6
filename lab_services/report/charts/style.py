"""What all charts share: the style, the head with title and legend, axes with units."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lab_services.report import numbers
from lab_services.report.charts import svg
from lab_services.report.charts.svg import INK
from lab_services.report.measurements import CHART_MIME, checked_name

# Okabe and Ito, "Color Universal Design", 2008: those of their colours that are dark enough for a
# white page and light enough for a dark one.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D")
# Smaller towards the top, so that points on one spot all show.
SIZES = (8.0, 6.5, 5.5, 4.5)
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
# A line that is no measurement: a deadline, a bound, what was offered.
MARK: dict[str, Any] = {"color": INK, "ls": (0, (1, 2)), "lw": 1.3}
WIDTH = 5.2  # inches: 10 point text is still 9 pixels high on a phone of 375
_LETTERS = 58  # that fit the width
_LINE = 0.17  # inches of one line of a note

_STYLE: Any = {
    **svg.SETTINGS,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.title_fontsize": 11,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.2,
    "legend.borderaxespad": 0.1,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.constrained_layout.use": True,
}


def theory(colour: str = INK, dashes: Any = "-") -> dict[str, Any]:
    """How a line of theory is drawn: in ink, or like the points that it explains."""
    return {"color": colour, "ls": dashes, "lw": 1.4}


@dataclass(frozen=True)
class Chart:
    """A chart: its name for the book, its title, the SVG, and what it shows in words."""

    name: str
    title: str
    svg: str
    alt: str

    def __repr__(self) -> str:
        return f"{self.title}. {self.alt}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {
            "text/plain": repr(self),
            "text/html": f'<div class="lab-chart">{self.svg}</div>',
            CHART_MIME: {"name": self.name, "title": self.title, "alt": self.alt},
        }


@contextmanager
def style(name: str) -> Iterator[None]:
    """The house style, for a chart of this name; leaves matplotlib's settings as they were.

    It begins with matplotlib's own defaults: whatever a reader has set, a chart looks the same.
    """
    checked_name(name)
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def finish(
    figure: Figure, name: str, title: str, alt: str, legend: Sequence[Line2D | Patch] = ()
) -> Chart:
    """Put title and legend on top, and make the chart."""
    columns = 1
    if legend:
        # What a legend needs beside its text, in letters: the line and the gap.
        widest = max(len(str(handle.get_label())) for handle in legend) + 7
        columns = max(1, min(len(legend), _LETTERS // widest))
    head = figure.legend(
        handles=_by_rows(legend, columns),
        loc="outside upper left",
        ncols=columns,
        alignment="left",
        title=textwrap.fill(title, _LETTERS - 6),
    )
    head.get_title().set_fontweight("bold")
    return Chart(name, title, svg.inline(figure, name, title, alt), alt)


def check_labels(series: Mapping[str, Any], *others: Mapping[str, Any]) -> None:
    """Raises ValueError for more series than can be told apart, or for a label without one."""
    if not 1 <= len(series) <= len(COLOURS):
        raise ValueError(f"A chart has 1 to {len(COLOURS)} series, not {len(series)}.")
    if unknown := {label for other in others for label in other} - set(series):
        raise ValueError(f"No series is called {', '.join(sorted(unknown))}.")


def noted(
    axes: Axes, label: str, notes: Iterable[str], mark: str = "Note", missing: Sequence[str] = ()
) -> None:
    """Label the x axis, and write under it each note once and what is `missing`."""
    told = [f"{mark}: {text}" for text in dict.fromkeys(notes) if text]
    lines = [textwrap.fill(text, _LETTERS) for text in [*told, *missing]]
    axes.set_xlabel("\n".join([label, *lines] if label else lines))
    # Room for it, so that long reasons do not squeeze out what is drawn.
    if isinstance(figure := axes.figure, Figure):
        below = sum(text.count("\n") + 1 for text in lines)
        figure.set_figheight(figure.get_figheight() + _LINE * max(0, below - 1))


def gap(what: str, reason: str = "") -> str:
    """The words for what a chart cannot show, under it and in its alternative text."""
    why = f": {reason}" if reason and reason != numbers.UNKNOWN else ""
    return f"Not known: {what}{why}."


def in_words(shown: str, missing: Iterable[str]) -> str:
    """A chart's alternative text: what it shows, and what it cannot."""
    return " ".join([shown, *missing])


def unit_axis(axes: Axes, which: str, unit: str, room: float = 2.5) -> None:
    """Ticks with their unit (seconds, bytes, shares) or as plain numbers.

    A logarithmic axis of at most `room` decades has space for ticks at 1, 2 and 5.
    """
    axis = axes.yaxis if which == "y" else axes.xaxis

    def text(value: float, _position: int) -> str:
        # Six digits drop what floating point adds to a round number.
        divisor, suffix = numbers.scale(value * (1 + 1e-9), unit)
        return (
            f"{value / divisor:,.6g}{suffix if numbers.has_scales(unit) else ''}" if value else "0"
        )

    if axis.get_scale() == "log":
        low, high = axis.get_view_interval()
        few = math.log10(high / low) > room
        axis.set_major_locator(LogLocator(subs=(1,) if few else (1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(text))


def _by_rows(handles: Sequence[Line2D | Patch], columns: int) -> list[Line2D | Patch]:
    """In the order that reads along rows once matplotlib has filled column after column."""
    return [handle for column in range(columns) for handle in handles[column::columns]]
