"""The labs choose their runtime themselves."""

import pytest

from lab_services.stack.docker import available


@pytest.fixture
def docker_answers() -> bool:
    return available()[0]


@pytest.fixture(autouse=True)
def no_runtime_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_RUNTIME", raising=False)
