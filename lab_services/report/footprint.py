"""How large the software of a service is, and how much of this machine there is for it."""

from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

from lab_services.limits import usable_cores

__all__ = ["install_size", "usable_cores"]


def install_size(package: str, without: tuple[str, ...] = ()) -> int:
    """Bytes on disk of what a package requires here, itself included where it is not editable.

    `without` names packages that are left out, with what only they require.
    """
    seen: set[str] = set()
    waiting = [package]
    total = 0
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in seen or name in without:
            continue
        seen.add(name)
        installed = distribution(name)
        files = [Path(str(file.locate())) for file in installed.files or []]
        total += sum(path.stat().st_size for path in files if path.is_file())
        for text in installed.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return total
