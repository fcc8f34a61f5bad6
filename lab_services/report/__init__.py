"""What recordings say: statistics, queueing theory, charts, claims, kept numbers.

>>> from lab_services import report
>>> report.P99(recording)
12.3 ms (11.8 to 13.1 ms)
>>> report.ratio(slow, fast, report.P50)
3.4× (3.1 to 3.8×)
"""

import lazy_loader

# Late: what only draws the book or reads a run's file needs neither SciPy nor matplotlib.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
