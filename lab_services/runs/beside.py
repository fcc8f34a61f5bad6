"""A folder written beside the one that it replaces, so that nothing is lost before it is whole."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from lab_services import paths, writing


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` at the end, if it has taken none before.

    After an error or an interrupt `folder` is as it was, and nothing else is left. Raises LabError
    where nothing can be written.
    """
    made = [above for above in folder.parents if not above.exists()]
    try:
        writing.ready(folder.parent, paths.MOVE_RUNS)
        with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as place:
            new = Path(place, "new")
            new.mkdir()
            yield new
            if new.exists():
                take_the_place(new, folder)
    except BaseException:
        for above in made:
            with suppress(OSError):  # somebody else has put something into it
                above.rmdir()
        raise


def take_the_place(new: Path, folder: Path) -> None:
    """Put a folder into the place of another, which stays where that is interrupted."""
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as place:
        old = Path(place, "old")
        try:
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        finally:
            if old.exists() and not folder.exists():  # interrupted between the two
                old.rename(folder)
