"""Run Prometheus as a service of a stack.

    python -m lab_services.services.prometheus --config.file=FILE --web.listen-address=0.0.0.0:9090

The arguments are Prometheus's own. `${NAME}` in the configuration stands for a variable of the
environment, so that what is scraped is found there, as every service finds the others; Prometheus
itself reads no variables. Its data lie in a folder of their own that goes with the container, or
with the stack.
"""

import os
import shutil
import string
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab_services.errors import LabError

_CONFIG = "--config.file="


def main(arguments: Sequence[str]) -> None:
    """Become Prometheus."""
    try:
        program = _program()
        folder = Path(tempfile.mkdtemp(prefix="prometheus-"))
        words = prepared(arguments, folder, os.environ)
    except LabError as error:
        sys.exit(str(error))
    os.execv(program, [program, *words])


def prepared(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> list[str]:
    """The arguments with a filled-in configuration, written to `folder`, and a place for the data.

    Raises LabError where there is no `--config.file=`, no such file, or no such variable.
    """
    stated = [word for word in arguments if word.startswith(_CONFIG)]
    if not stated:
        raise LabError("Prometheus has no configuration.", f"Give it one: {_CONFIG}FILE")
    path = Path(stated[-1].removeprefix(_CONFIG))
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LabError(f"{path} cannot be read: {error.strerror}.") from None
    filled = folder / path.name
    filled.write_text(fill(text, environment, path))
    others = [word for word in arguments if word not in stated]
    return [f"{_CONFIG}{filled}", f"--storage.tsdb.path={folder / 'data'}", *others]


def fill(text: str, environment: Mapping[str, str], path: Path) -> str:
    """`text` with its `${NAME}` replaced. Raises LabError naming the one that is not set."""
    try:
        return string.Template(text).substitute(environment)
    except KeyError as error:
        name = error.args[0]
        raise LabError(
            f"{path} asks for {name}, which is not set.", f"Set {name} for this service."
        ) from None
    except ValueError as error:
        raise LabError(f"{path}: {error}.", "Write $$ for a dollar sign.") from None


def _program() -> str:
    """Raises LabError where it is not on PATH."""
    if found := shutil.which("prometheus"):
        return found
    raise LabError(
        "There is no program 'prometheus' on this machine.",
        "Debian: `apt-get install prometheus`. macOS: `brew install prometheus`.",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
