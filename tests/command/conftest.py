"""The `lab` command for tests."""

from collections.abc import Iterator

import pytest

from tests.command.terminal import Terminal
from tests.warm import Warm


@pytest.fixture
def lab(warm: Warm) -> Iterator[Terminal]:
    with Terminal.opened(warm) as terminal:
        yield terminal
