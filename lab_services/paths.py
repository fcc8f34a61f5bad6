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


def workspace(lab: str) -> str:
    """The name of a lab's workspace in JupyterLab, which is the end of its address."""
    return lab.replace("/", "-")
