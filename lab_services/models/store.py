"""Models on disk: how they are kept, where they are, what their cards say, whether they are whole.

A service imports this module, so it needs the standard library only.
"""

import hashlib
import importlib.metadata
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab_services import paths
from lab_services.errors import LabError

# Two files take two steps to replace, some microseconds apart.
SETTLE_SECONDS = 0.1

_HINT = "Run `lab models`, which builds what is missing or damaged."


class ModelMissing(LabError):
    """There is no such model file, or it has no card."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"There is no model at {path}.", _HINT)


class ModelDamaged(LabError):
    """A model file or its card is not what was built."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"The model at {path} is damaged: {why}.", _HINT)


def model_path(name: str) -> Path:
    """Where the model of this name is kept. It need not exist yet."""
    return paths.models_dir() / f"{name}.onnx"


def payloads_path() -> Path:
    """Where the unseen flights are kept that traffic is made of."""
    return paths.models_dir() / "unseen.npy"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def card(name: str) -> dict[str, Any]:
    """The card of the model of this name. Raises ModelMissing or ModelDamaged."""
    return card_of(model_path(name))


def card_of(path: Path) -> dict[str, Any]:
    """The card beside a model file. Raises ModelMissing or ModelDamaged."""
    beside = path.with_suffix(".json")
    try:
        read = json.loads(beside.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise ModelMissing(path) from None
    except OSError as error:
        raise ModelDamaged(path, f"its card cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ModelDamaged(path, f"its card {beside.name} is not JSON ({error})") from None
    if not isinstance(read, dict) or not {"sha256", "recipe"} <= read.keys():
        raise ModelDamaged(path, f"its card {beside.name} lacks what a card holds")
    return read


def verify(path: Path) -> dict[str, Any]:
    """The card of a model file whose bytes are those the card was written for.

    What does not fit is looked at twice, for it may just be replaced. Raises ModelMissing, or
    ModelDamaged when the bytes or the card differ from what was built.
    """
    try:
        return _verified(path)
    except (ModelMissing, ModelDamaged):
        if not path.with_suffix(".json").exists():
            raise
    time.sleep(SETTLE_SECONDS)
    return _verified(path)


def _verified(path: Path) -> dict[str, Any]:
    said = card_of(path)
    try:
        found = sha256(path)
    except FileNotFoundError:
        raise ModelMissing(path) from None
    except OSError as error:
        raise ModelDamaged(path, f"it cannot be read ({error.strerror})") from None
    if found != said["sha256"]:
        raise ModelDamaged(path, f"its SHA-256 is {found[:12]}…, not {said['sha256'][:12]}…")
    return said


def recipe_of(files: Iterable[Path], libraries: Iterable[str] = (), parent: str = "") -> str:
    """One hash over all that a model comes from: files of data and code, libraries, another model.

    Raises OSError for a file that cannot be read, PackageNotFoundError for a library not installed.
    """
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    digest.update(parent.encode())
    versions = {name: importlib.metadata.version(name) for name in libraries}
    digest.update(json.dumps(versions).encode())
    return digest.hexdigest()


def is_current(path: Path, recipe: str) -> bool:
    """Whether a whole model of this recipe is there: else it is to be built."""
    try:
        return bool(verify(path)["recipe"] == recipe)
    except (ModelMissing, ModelDamaged):
        return False


def save(path: Path, content: bytes, said: dict[str, Any]) -> None:
    """Write a model file, and beside it a card with what is `said` of it, its size and its hash.

    Both are whole before one of them takes its place, and the card comes first: a build that is cut
    short leaves a hash that does not fit, and who has loaded the new model sees that its card is
    another one.
    """
    told = {**said, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    card = json.dumps(told, indent=1).encode()
    with _written(path.with_suffix(".json"), card) as new_card, _written(path, content) as new:
        os.replace(new_card, path.with_suffix(".json"))
        os.replace(new, path)


@contextmanager
def _written(path: Path, content: bytes) -> Iterator[Path]:
    """A new file beside `path`, readable by the user that a container runs as; gone afterwards."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        new.chmod(0o644)
        yield new
    finally:
        new.unlink(missing_ok=True)
