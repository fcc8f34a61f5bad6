"""Lay the runs of several folders into one, for the book: those of a later folder win.

    python3 .github/lay_runs.py TO FROM...

Each folder holds <runtime>/<group>/<slug>/. One that is not there holds no run. A run that broke
off is not laid: the book shows whole ones.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path


def lay(to: Path, sources: Sequence[Path]) -> list[str]:
    """Copy them; gives what was laid, as runtime/group/slug."""
    laid = []
    for source in sources:
        for file in sorted(source.glob("*/*/*/measurements.json")):
            if json.loads(file.read_text())["error"] is not None:
                continue
            place = file.parent.relative_to(source)
            # Whole: a figure of the run before would stay beside those of this one.
            shutil.rmtree(to / place, ignore_errors=True)
            shutil.copytree(file.parent, to / place)
            laid.append(f"{place} of {source}")
    return laid


if __name__ == "__main__":
    to, *sources = map(Path, sys.argv[1:])
    found = lay(to, sources)
    sys.stdout.write("\n".join(found) + "\n")
    sys.exit(0 if found else f"There is no run in {', '.join(map(str, sources))}.")
