"""What is asked for often and what is not."""

import numpy as np
import pytest

from lab_services import traffic


def test_the_first_is_asked_for_as_often_as_zipf_says():
    """Shares that do not add up; ranks confused; the same things asked for with another seed."""
    shares = traffic.zipf(100)
    assert shares.sum() == pytest.approx(1) and shares[0] == pytest.approx(2 * shares[1])
    assert traffic.zipf(100, 2.0)[0] == pytest.approx(4 * traffic.zipf(100, 2.0)[1])
    asked = traffic.draw(shares, 20_000)
    assert np.mean(asked == 0) == pytest.approx(shares[0], abs=0.01)
    assert (asked == traffic.draw(shares, 20_000)).all()
    assert (asked != traffic.draw(shares, 20_000, seed=1)).any()
