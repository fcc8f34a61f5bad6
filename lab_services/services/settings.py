"""Settings of a service: its environment, read when asked for and not when imported."""

import os
from collections.abc import Sequence

from lab_services.errors import LabError


def text(name: str, default: str | None = None) -> str:
    """The variable's value. Raises LabError when it is neither set nor has a default."""
    value = os.environ.get(name, default)
    if value is None:
        raise LabError(f"The environment does not set {name}.", f"Set {name} for this service.")
    return value


def number(name: str, default: float, *, low: float, high: float) -> float:
    """The variable as a number from `low` to `high`. Raises LabError when it is not one."""
    value = os.environ.get(name, str(default))
    try:
        read = float(value)
    except ValueError:
        read = float("nan")
    if not low <= read <= high:
        raise LabError(f"{name} is {value!r}.", f"Set {name} to a number from {low:g} to {high:g}.")
    return read


def late_above() -> float:
    """Above which probability a flight is called late: LATE_ABOVE, 0.3 where it is not set.

    Raises LabError when it is no number from 0 to 1.
    """
    return number("LATE_ABOVE", 0.3, low=0, high=1)


def switch(name: str, default: bool) -> bool:
    """The variable as a switch: 1 is on, 0 is off. Raises LabError for anything else."""
    return choice(name, "1" if default else "0", ("0", "1")) == "1"


def choice(name: str, default: str, among: Sequence[str]) -> str:
    """The variable, in capitals, as one of `among`. Raises LabError when it is none of them."""
    value = os.environ.get(name, default).upper()
    if value not in among:
        raise LabError(f"{name} is {value!r}.", f"Set {name} to one of {', '.join(among)}.")
    return value
