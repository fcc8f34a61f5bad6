"""Programs of our own, started with this Python: what they import is ours and the environment's.

The reader's folder may hold a `queue.py` or a `fastapi.py`, and a PYTHONPATH of other work may lead
anywhere. So the folder in which a program starts is not imported from, and the inherited PYTHONPATH
gives way to the place of this package: that of a working tree, where PYTHONPATH has led to it.
A service imports this module, so it needs the standard library only.
"""

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from lab_services import paths


def command(module: str, *words: str) -> list[str]:
    """The command line that runs a module as a program; `environment` belongs to it."""
    return [sys.executable, "-P", "-m", module, *words]


def environment(inherited: Mapping[str, str] = os.environ, /, **given: str) -> dict[str, str]:
    """The inherited variables with a PYTHONPATH of our own, and those that are given."""
    return {**inherited, "PYTHONPATH": location(), **given}


def location() -> str:
    """Where this package is imported from; nothing where Python looks anyway."""
    root = paths.repository()
    return "" if root == Path(sysconfig.get_path("purelib")) else str(root)
