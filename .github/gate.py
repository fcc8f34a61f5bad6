"""The one check that a change needs: every job that it waits for has passed.

    NEEDS='${{ toJSON(needs) }}' python3 .github/gate.py

A job may be left out only where the plan has nothing for it to do.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any


def refused(needs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The jobs that did not pass, each with what became of it."""
    nothing = needs["plan"]["outputs"].get("shards") == "[]"
    return {
        name: job["result"]
        for name, job in needs.items()
        if job["result"] != "success"
        and not (name == "labs" and job["result"] == "skipped" and nothing)
    }


if __name__ == "__main__":
    needs = json.loads(os.environ["NEEDS"])
    for name, job in needs.items():
        sys.stdout.write(f"{job['result']:<10} {name}\n")
    sys.exit(1 if refused(needs) else 0)
