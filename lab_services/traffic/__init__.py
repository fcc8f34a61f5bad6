"""Traffic: requests sent on a schedule by Locust in a process of its own, and their recording.

>>> flights = traffic.requests(stack.url("predictor", "/predict"), payloads.flights(1000))
>>> recording = traffic.send(flights, traffic.poisson(100, 10), warmup=2)
>>> recording.table.latency.quantile([0.5, 0.99])
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_services.traffic.generators import GeneratorDied as GeneratorDied
    from lab_services.traffic.mixing import mix as mix
    from lab_services.traffic.popularity import draw as draw
    from lab_services.traffic.popularity import zipf as zipf
    from lab_services.traffic.recording import Recording as Recording
    from lab_services.traffic.request import Request as Request
    from lab_services.traffic.request import interleave as interleave
    from lab_services.traffic.request import requests as requests
    from lab_services.traffic.running import closed_loop as closed_loop
    from lab_services.traffic.running import last as last
    from lab_services.traffic.running import send as send
    from lab_services.traffic.schedules import Schedule as Schedule
    from lab_services.traffic.schedules import bursts as bursts
    from lab_services.traffic.schedules import constant as constant
    from lab_services.traffic.schedules import poisson as poisson
    from lab_services.traffic.schedules import ramp as ramp
    from lab_services.traffic.schedules import steps as steps

_HOMES = {
    "generators": ("GeneratorDied",),
    "mixing": ("mix",),
    "popularity": ("draw", "zipf"),
    "recording": ("Recording",),
    "request": ("Request", "interleave", "requests"),
    "running": ("closed_loop", "last", "send"),
    "schedules": ("Schedule", "bursts", "constant", "poisson", "ramp", "steps"),
}
__all__ = sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name: str) -> object:
    # Late: a generator imports this package too, and would pay for pandas.
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
