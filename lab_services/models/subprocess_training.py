"""Train in a process of its own: what training takes of memory is given back when it ends."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab_services import python
from lab_services.errors import LabError
from lab_services.models import store


def ensure(module: str, names: Iterable[str], recipe: str) -> dict[str, Path]:
    """The path of each model by its name; `module` trains where one is missing, damaged, or old.

    Old is what was made by another `recipe`. Raises LabError where the training fails.
    """
    found = {name: store.model_path(name) for name in names}
    if not all(store.is_current(path, recipe) for path in found.values()):
        train(module)
    return found


def train(module: str) -> None:
    """Run a module as a program. Raises LabError with the end of what it said where it fails."""
    ended = subprocess.run(
        python.command(module), env=python.environment(), capture_output=True, text=True
    )
    if ended.returncode:
        said = ended.stderr.strip()[-500:]
        raise LabError(f"Training in {module} has failed: {said}")
