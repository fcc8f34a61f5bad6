"""Labs shared out over several machines, so that all are done at about the same time."""

import heapq
import math
from collections.abc import Mapping

# Seconds of measuring for which another machine is worth its start: it takes about as long.
_WORTH = 240.0


def shares(seconds: Mapping[str, float], most: int) -> list[list[str]]:
    """Labs by machine, of which there are at most `most`; `seconds` is what each lab takes.

    The longest first, each to the machine that has least to do.
    """
    count = min(most, len(seconds), max(1, math.ceil(sum(seconds.values()) / _WORTH)))
    machines: list[tuple[float, int, list[str]]] = [(0.0, place, []) for place in range(count)]
    for lab in sorted(seconds, key=lambda each: (-seconds[each], each)):
        busy, place, labs = machines[0]
        heapq.heapreplace(machines, (busy + seconds[lab], place, [*labs, lab]))
    return [labs for _, _, labs in sorted(machines, key=lambda each: each[1])]
