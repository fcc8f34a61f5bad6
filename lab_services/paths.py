"""Where things are: the checkout, the user's cache, the models."""

import os
from pathlib import Path

# The folders of book, labs and patterns, and what the book calls them.
GROUPS = {
    "serving": "Serving",
    "qa": "Quality assurance",
    "training": "Training",
    "operation": "Operation",
    "lifecycle": "Lifecycle",
}


MOVE_CACHE = "Set LAB_CACHE to a folder on a local disk that you may write to."
MOVE_RUNS = "Keep runs where you may write: --out FOLDER, and of the book --runs FOLDER."
MOVE_STATE = "Set LAB_STATE to a short folder on a local disk that you may write to."


def repository() -> Path:
    """The checkout this package runs from (labs, book and lock file lie beside the package)."""
    return Path(__file__).resolve().parent.parent


def cache_dir() -> Path:
    """Everything made once and kept between runs; `LAB_CACHE` moves it."""
    if folder := os.environ.get("LAB_CACHE"):
        return Path(folder).expanduser().absolute()
    # Imported here: a service in a container is told LAB_MODELS and has no platformdirs.
    from platformdirs import user_cache_path

    return user_cache_path("lab-services", appauthor=False)


def models_dir() -> Path:
    """Models, their cards and the payloads; `LAB_MODELS` moves it."""
    if folder := os.environ.get("LAB_MODELS"):
        return Path(folder).expanduser().absolute()
    return cache_dir() / "models"


def move_models() -> str:
    """What to do where nothing can be written to the folder of the models."""
    moved = os.environ.get("LAB_MODELS")
    return MOVE_CACHE.replace("LAB_CACHE", "LAB_MODELS") if moved else MOVE_CACHE


def workspace(lab: str) -> str:
    """The name of a lab's workspace in JupyterLab, which is the end of its address."""
    return lab.replace("/", "-")
