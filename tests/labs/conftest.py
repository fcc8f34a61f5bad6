"""What the tests of labs' helpers share."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def _forks_by_itself(own_fork_server: None) -> None:
    """The next module's processes would ask for this module's database."""
