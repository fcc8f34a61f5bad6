"""A notebook's file, read and found to be one. Without nbformat, whose import takes a second."""

from pathlib import Path
from typing import Any, Literal

import msgspec

from lab_services.errors import LabError

# The tag of a cell that asks what is outside of the notebook.
LIVE = "live"


class Tags(msgspec.Struct):
    """What this project reads of a cell's metadata."""

    tags: list[str] = []


class Cell(msgspec.Struct):
    """A cell as it lies in the file; `text` is its source."""

    cell_type: str
    source: str | list[str]
    metadata: Tags

    @property
    def text(self) -> str:
        return "".join(self.source)


class Metadata(msgspec.Struct):
    """What this project reads of a notebook's metadata."""

    lab_services: dict[str, dict[str, Any]] = {}
    kernelspec: dict[str, Any] = {}
    language_info: dict[str, Any] = {}


class Notebook(msgspec.Struct):
    """What every notebook has."""

    nbformat: Literal[4]
    metadata: Metadata
    cells: list[Cell]


def read(file: Path) -> Notebook:
    """The notebook in a file. Raises LabError when it cannot be read or is none."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Notebook)
    except OSError as error:
        raise LabError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:  # ValueError: what is not UTF-8, too
        raise LabError(f"{file} is no notebook: {error}.", "Save it once in JupyterLab.") from None
