"""Folders that can be written, locks in them, files written whole; else an error that helps.

A job that trains imports this module, so it needs the standard library only.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from lab_services.errors import LabError


def ready(folder: Path, remedy: str) -> Path:
    """The folder, made where it is missing, after something has been written into it.

    Raises LabError with the `remedy` when that cannot be done.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"a disk may be full")
    except OSError as error:
        raise LabError(f"{folder} cannot be written: {error.strerror}.", remedy) from None
    return folder


def whole(file: Path, text: str) -> None:
    """Write a file in the place of an older one; who reads meanwhile finds the one or the other."""
    part = file.with_suffix(".part")
    part.write_text(text)
    part.replace(file)


def lockable(folder: Path, remedy: str) -> None:
    """Raises LabError where `locked` would, without waiting for anybody."""
    with tempfile.TemporaryFile(dir=ready(folder, remedy)) as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except OSError as error:
            raise _no_locks(folder, error, remedy) from None


@contextmanager
def locked(folder: Path, name: str, remedy: str, waiting: Callable[[], object]) -> Iterator[None]:
    """Hold the lock `name` in a folder, which is made where it is missing.

    `waiting` is called when somebody else holds it. Raises LabError with the `remedy` where nothing
    can be written, or where the file system has no locks, as some that come over a network.
    """
    with (ready(folder, remedy) / name).open("w") as lock:
        try:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                waiting()
                flock(lock, LOCK_EX)
        except OSError as error:
            raise _no_locks(folder, error, remedy) from None
        yield


def _no_locks(folder: Path, error: OSError, remedy: str) -> LabError:
    return LabError(f"{folder} has no locks: {error.strerror}.", remedy)
