"""Traffic: requests sent on a schedule by Locust in a process of its own, and their recording.

>>> flights = traffic.requests(stack.url("predictor", "/predict"), payloads.flights(1000))
>>> recording = traffic.send(flights, traffic.poisson(100, 10), warmup=2)
>>> recording.table.latency.quantile([0.5, 0.99])
"""

import lazy_loader

# Late: a generator imports this package too, and would pay for pandas.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
