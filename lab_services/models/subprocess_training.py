"""Train in a process of its own: what training takes of memory is given back when it ends."""

import logging
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab_services import paths, python, writing
from lab_services.errors import LabError
from lab_services.models import store

# Not the lock of `build`, which a training may need for the model that it begins with.
LOCK = ".training.lock"

log = logging.getLogger(__name__)


def ensure(module: str, names: Iterable[str], recipe: str) -> dict[str, Path]:
    """The path of each model by its name; `module` trains where one is missing, damaged, or old.

    Old is what was made by another `recipe`. One trains at a time, for it takes memory; who has
    waited for another looks again. Raises LabError where the training fails.
    """
    found = {name: store.model_path(name) for name in names}

    def current() -> bool:
        return all(store.is_current(path, recipe) for path in found.values())

    if not current():
        with writing.locked(paths.models_dir(), LOCK, paths.move_models(), _waiting):
            if not current():
                train(module)
    return found


def _waiting() -> None:
    log.info("waiting for another process, which is training")


def train(module: str) -> None:
    """Run a module as a program. Raises LabError with the end of what it said where it fails."""
    ended = subprocess.run(
        python.command(module), env=python.environment(), capture_output=True, text=True
    )
    if ended.returncode:
        said = ended.stderr.strip()[-500:]
        raise LabError(f"Training in {module} has failed: {said}")
