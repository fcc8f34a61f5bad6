"""A program that does nothing but work, and says which share of a core it got.

    python -m lab_services.labs.serving.web_single.work BEGIN SECONDS

BEGIN is a moment of the clock that all processes share (`time.monotonic`), so that several begin
together.
"""

import sys
import time


def main() -> None:
    """Add numbers for so many seconds; the share goes to standard output."""
    begin, seconds = map(float, sys.argv[1:])
    time.sleep(max(0.0, begin - time.monotonic()))
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() < began + seconds:
        sum(range(20_000))
    share = (time.process_time() - used) / (time.monotonic() - began)
    sys.stdout.write(f"{share}\n")


if __name__ == "__main__":
    main()
