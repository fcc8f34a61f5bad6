import pytest

from lab_services.errors import LabError
from lab_services.models import apart


def test_a_training_that_failed_is_not_taken_for_one():
    """The reason is lost with the process."""
    with pytest.raises(LabError, match=r"No module named lab_services\.nothing"):
        apart.train("lab_services.nothing")
    apart.train("lab_services.models.store")
