"""Git, led by nothing but the folder that it is started in.

A Git hook sets GIT_DIR, GIT_INDEX_FILE and others for all that it starts: a Git that inherits them
works in the hook's repository, whatever its folder is. Nothing else in the project starts Git.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab_services.errors import LabError


def environment(inherited: Mapping[str, str] = os.environ, /, **given: str) -> dict[str, str]:
    """The inherited variables without any `GIT_*`, and those that are given."""
    own = {name: value for name, value in inherited.items() if not name.startswith("GIT_")}
    return own | given


def git(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> str:
    """What git says in this folder; `env` is what `environment` gives (default: no variable more).

    Raises LabError where git cannot be started, and with its complaint where it fails.
    """
    try:
        done = subprocess.run(
            ["git", "-C", folder, *words],
            env=environment() if env is None else env,
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise LabError(f"git cannot be started: {error.strerror}.", "Install git.") from None
    if done.returncode:
        raise LabError(f"git {words[0]} failed: {done.stderr.strip()}")
    return done.stdout
