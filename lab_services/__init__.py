"""Stacks, traffic and claims behind the labs of *ML System Design Patterns, live*.

What a notebook needs, in one import:

>>> from lab_services import Claims, Stack, charts, keep, report, traffic
>>> stack = Stack("serving/web-single").up()
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_services import report as report
    from lab_services import traffic as traffic
    from lab_services.models import payloads as payloads
    from lab_services.report import charts as charts
    from lab_services.report.claims import Claims as Claims
    from lab_services.report.exercise import Exercise as Exercise
    from lab_services.report.measurements import keep as keep
    from lab_services.report.queueing import Queue as Queue
    from lab_services.stack import Stack as Stack

# onnxruntime reports its use to its makers over the network from the moment it is imported, unless
# told otherwise before; nothing here talks to a host that the reader did not ask for.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# nbformat's check of notebooks takes rfc3987_syntax where it is there, and that compiles a grammar
# for two seconds at each start. No notebook holds what it would check.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

# Where each name lives; a module's own name is None.
_HOMES = {
    "Claims": ("lab_services.report.claims", "Claims"),
    "Exercise": ("lab_services.report.exercise", "Exercise"),
    "Queue": ("lab_services.report.queueing", "Queue"),
    "Stack": ("lab_services.stack", "Stack"),
    "charts": ("lab_services.report.charts", None),
    "keep": ("lab_services.report.measurements", "keep"),
    "payloads": ("lab_services.models.payloads", None),
    "report": ("lab_services.report", None),
    "traffic": ("lab_services.traffic", None),
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    # Late: a service imports this package too, and must load neither pandas nor matplotlib.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, attribute = _HOMES[name]
    module = import_module(home)
    return module if attribute is None else getattr(module, attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
