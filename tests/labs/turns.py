"""Which labs a commit runs on plain processes too.

All of them on both runtimes take longer than a change can wait for, so each commit runs every lab
in containers and every second one on processes, and LAB_ALL_ON_PROCESSES=1, as every night, all.
"""

import os
import subprocess

from lab_services import paths
from lab_services.stack.docker import available

LABS = [
    f"{file.parent.name}/{file.stem}"
    for file in sorted((paths.repository() / "labs").glob("*/*.ipynb"))
]


def on_processes() -> list[str]:
    """All where that is asked for, where no engine answers, and where git knows no commit."""
    if os.environ.get("LAB_ALL_ON_PROCESSES") == "1" or not available()[0]:
        return LABS
    command = ["git", "-C", str(paths.repository()), "rev-parse", "--verify", "--quiet", "HEAD"]
    return turn(LABS, subprocess.run(command, capture_output=True, text=True).stdout.strip())


def turn(labs: list[str], commit: str) -> list[str]:
    """One half or the other, by the hash of the commit; all of them without one."""
    return labs[int(commit, 16) % 2 :: 2] if commit else labs
