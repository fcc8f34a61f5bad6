import pytest

from lab_services.models import build


@pytest.fixture(scope="session", autouse=True)
def models():
    """The rough and the good model, where every command keeps them."""
    return build.ensure()
