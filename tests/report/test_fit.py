"""Lines through what was measured."""

import pytest

from lab_services.report import Line


def test_a_line_goes_through_two_points_and_between_more():
    """Ends swapped; a point that is left out."""
    assert Line.through({100: 0.002, 1100: 0.004}) == pytest.approx((0.0018, 2e-6))
    line = Line.through({0: 1.0, 1: 1.0, 2: 4.0})
    assert line == pytest.approx((0.5, 1.5))
    assert line(10) == pytest.approx(15.5)
    with pytest.raises(ValueError, match="two points, not 1"):
        Line.through({1: 1.0})


def test_noise_makes_no_cost_fall():
    """More work that takes less time."""
    assert Line.through({0: 0.001, 40: 0.009}, rising=True)(10) == pytest.approx(0.003)
    assert Line.through({0: 0.003, 40: 0.002}, rising=True)(90) == pytest.approx(0.0025)
    assert Line.through({0: 0.003, 40: 0.002})(80) == pytest.approx(0.001)
