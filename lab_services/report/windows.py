"""A part of a recording: the requests that were meant for some seconds of it."""

import math
from dataclasses import replace

from lab_services.report.stats import rows
from lab_services.traffic.recording import Recording


def window(recording: Recording, begin: float, end: float) -> Recording:
    """The part of a recording that was meant for the time from `begin` to `end`, Unix seconds.

    It is without the warm-up. Where no request was meant for that time, or one of the times is
    nan, it is empty and its note says so: what is computed from it is unknown. Raises ValueError
    for a time that ends before it begins.

    >>> window(recording, fault.start, fault.end)      # doctest: +SKIP
    """
    until = "on" if math.isinf(end) else f"to {end - recording.begin:.3g} s"
    after = f"{begin - recording.begin:.3g} {until}"
    if end < begin:
        raise ValueError(f"No time goes from {after} after the beginning.")
    table = rows(recording)
    inside = table[(table["intended"] >= begin) & (table["intended"] < end)]
    told = recording.note
    if inside.empty:
        unknown = math.isnan(begin) or math.isnan(end)
        when = (
            "a time that is not known" if unknown else f"the time from {after} after the beginning"
        )
        empty = f"no request was meant for {when}"
        told = f"{told}; {empty}" if told else empty
    return replace(recording, table=inside.reset_index(drop=True), note=told)
