"""Train in a process of its own: what training takes of memory is given back when it ends."""

import subprocess
import sys

from lab_services.errors import LabError


def train(module: str) -> None:
    """Run a module as a program. Raises LabError with the end of what it said where it fails."""
    ended = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True)
    if ended.returncode:
        said = ended.stderr.strip()[-500:]
        raise LabError(f"Training in {module} has failed: {said}")
