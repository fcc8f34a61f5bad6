"""A program that takes a core from others: `python -m … CORE BUSY EVERY`.

It does arithmetic for the first BUSY of each EVERY seconds by the clock that all processes share,
so that several of it do so at once, and is held to CORE where the system can do that. It ends with
its owner, whose end of its standard input then closes, however the owner ends.
"""

import os
import select
import sys
import time

_CHUNK = 20_000  # additions between two looks at the clock and the owner: about a millisecond


def gone(within: float) -> bool:
    """Whether the owner's end of standard input closes within so many seconds."""
    readable, _, _ = select.select([sys.stdin], [], [], max(0.0, within))
    return bool(readable)


def main() -> None:
    """Take turns of arithmetic and rest until the owner is gone."""
    core, busy, every = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    os.write(1, b"begun\n")
    while True:
        place = time.monotonic() % every
        if gone(0.0 if place < busy else every - place):
            return
        if place < busy:
            sum(range(_CHUNK))


if __name__ == "__main__":
    main()
