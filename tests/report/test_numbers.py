"""How numbers are written."""

import math

import pytest

from lab_services.report.numbers import rounded, written, written_range


@pytest.mark.parametrize(
    ("value", "unit", "low", "high", "text"),
    [
        (0.012345, "s", math.nan, math.nan, "12.3 ms"),
        (0.012345, "s", 0.0120, 0.0127, "12.3 ms"),
        (0.012345, "s", 0.005, 0.03, "12 ms"),
        (0.000042, "s", math.nan, math.nan, "42.0 µs"),
        (75.0, "s", math.nan, math.nan, "75.0 s"),
        (0.9994, "s", 0.98, 1.02, "1.00 s"),
        (0.0123, "share", math.nan, math.nan, "1.23 %"),
        (0.0, "share", 0.0, 0.012, "0.0 %"),
        (1.5e8, "bytes", math.nan, math.nan, "150 MB"),
        (1234.5, "requests/s", 1200, 1260, "1,230 requests/s"),
        (2, "cores", 2, 2, "2 cores"),
        (12_000, "", math.nan, math.nan, "12,000"),
        (math.nan, "s", math.nan, math.nan, "not known"),
        (0.1, "s", 0.09, math.inf, "100 ms"),
        (math.inf, "s", math.nan, math.nan, "infinite"),
        (-math.inf, "", math.nan, math.nan, "minus infinite"),
        (123456.0, "requests/s", math.nan, math.nan, "123,000 requests/s"),
    ],
)
def test_written(value, unit, low, high, text):
    """Numbers with too many digits, too few, or in a scale nobody reads."""
    assert written(value, unit, low, high) == text


def test_range_leaves_an_open_end_open():
    """An infinite end written as `inf ms`."""
    assert written_range(0.1, "s", 0.09, math.inf) == "at least 90 ms"
    assert written_range(2.0, "ratio", -math.inf, 3.0) == "at most 3.0×"
    assert written_range(2.0, "ratio", -math.inf, math.inf) == "any value"
    assert written_range(0.0123, "s", 0.0118, 0.0131) == "11.8 to 13.1 ms"


def test_chosen_numbers_have_no_digits_they_do_not_need():
    """A bound of 3 that reads 3.00."""
    assert rounded(3, "ratio") == "3×"
    assert rounded(0.05, "share") == "5 %"
    assert rounded(0.25, "s") == "250 ms"
    assert rounded(math.nan, "s") == "not known"
