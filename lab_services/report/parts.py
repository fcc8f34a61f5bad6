"""A part of a recording: the requests that were meant for some seconds of it."""

from dataclasses import replace

from lab_services.report.stats import rows
from lab_services.traffic.recording import Recording


def during(recording: Recording, begin: float, end: float) -> Recording:
    """The part of a recording that was meant for the time from `begin` to `end`, Unix seconds.

    It is without the warm-up. Raises ValueError where no request was meant for that time: the times
    are wrong then, and nothing can be said of what was not measured.

    >>> during(recording, fault.start, fault.end)      # doctest: +SKIP
    """
    table = rows(recording)
    inside = table[(table["intended"] >= begin) & (table["intended"] < end)]
    if inside.empty:
        after = f"{begin - recording.begin:.3g} to {end - recording.begin:.3g} s"
        raise ValueError(f"No request was meant for the time from {after} after the beginning.")
    return replace(recording, table=inside.reset_index(drop=True))
