"""What the tests of patterns share."""

from collections.abc import Iterator
from multiprocessing import forkserver

import pytest


@pytest.fixture(autouse=True, scope="module")
def own_fork_server() -> Iterator[None]:
    """Python has one fork server, and it keeps the environment in which it was started: the next
    module's processes would ask for this module's database."""
    yield
    forkserver._forkserver._stop()  # there is no public way
