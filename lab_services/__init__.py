"""Stacks, traffic and claims behind the labs of *ML System Design Patterns, live*.

What a notebook needs, in one import:

>>> from lab_services import Claims, Stack, charts, keep, report, traffic
>>> stack = Stack("serving/web-single").up()
"""

import os
import sys

import lazy_loader

# onnxruntime reports its use to its makers over the network from the moment it is imported, unless
# told otherwise before; nothing here talks to a host that the reader did not ask for.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# nbformat's check of notebooks takes rfc3987_syntax where it is there, and that compiles a grammar
# for two seconds at each start. No notebook holds what it would check.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

# Late: a service imports this package too, and must load neither pandas nor matplotlib.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
