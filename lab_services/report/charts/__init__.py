"""The charts of the labs, in one style: sweep, timeline, latency, bars,
outcomes, scatter, series, spans, matrix.

Each function returns a `Chart`: put it last in a cell, or `display` it, and the notebook shows it
and the run keeps it under its name. Colours have a contrast of 3:1 and more on white and on the
book's dark page and differ for colour-blind readers; markers and dashes differ as well. A point
with a note is drawn hollow, and the note is written under the chart.
"""

from lab_services.report.charts.outcomes import outcomes
from lab_services.report.charts.plots import bars, latency, sweep
from lab_services.report.charts.scatter import scatter
from lab_services.report.charts.series import series
from lab_services.report.charts.spans import matrix, spans
from lab_services.report.charts.style import Chart
from lab_services.report.charts.timeline import timeline

__all__ = [
    "Chart",
    "bars",
    "latency",
    "matrix",
    "outcomes",
    "scatter",
    "series",
    "spans",
    "sweep",
    "timeline",
]
