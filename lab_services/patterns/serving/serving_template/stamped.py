"""A stamped service: the one module in the folder that SERVICE names."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from lab_services.errors import LabError
from lab_services.services import settings


def load(folder: Path) -> ModuleType:
    """The module of a stamped service. Raises LabError unless the folder holds just one."""
    found = list(folder.glob("*.py"))
    if len(found) != 1:
        raise LabError(f"{folder} holds {len(found)} modules.", "A stamped service has just one.")
    spec = importlib.util.spec_from_file_location(found[0].stem, found[0])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[found[0].stem] = module  # FastAPI looks types up where they were defined
    spec.loader.exec_module(module)
    return module


def __getattr__(name: str) -> object:
    # Late, since the tests of the contract load many services and SERVICE names only one.
    if name == "app":
        return load(Path(settings.text("SERVICE"))).app
    raise AttributeError(name)
