"""The labs choose their runtime themselves."""

import pytest

from lab_services.stack.docker import available
from tests.labs.turns import LABS, on_processes


def pytest_report_header() -> str:
    """Say how many of the labs are not run on processes this time."""
    return f"labs on plain processes: {len(on_processes())} of {len(LABS)} (tests/labs/turns.py)"


@pytest.fixture
def docker_answers() -> bool:
    return available()[0]


@pytest.fixture(autouse=True)
def no_runtime_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_RUNTIME", raising=False)
