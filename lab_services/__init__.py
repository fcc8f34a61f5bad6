"""Stacks, traffic and claims behind the labs of *ML System Design Patterns, live*."""

import os

# onnxruntime reports its use to its makers over the network from the moment it is imported, unless
# told otherwise before; nothing here talks to a host that the reader did not ask for.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
