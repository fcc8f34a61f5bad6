"""What of the machine this process may use, read from either version of control groups."""

import math
from pathlib import Path

import pytest

from lab_services import limits


@pytest.mark.parametrize(
    ("files", "seconds"),
    [
        ({"cpu.stat": "usage_usec 5\nnr_throttled 2\nthrottled_usec 1500000\n"}, 1.5),
        ({"cpu/cpu.stat": "nr_periods 9\nthrottled_time 2500000000\n"}, 2.5),
        # The top group of version 2 has no quota, and other systems have no groups.
        ({"cpu.stat": "usage_usec 5\n"}, math.nan),
        ({}, math.nan),
    ],
)
def test_how_long_a_quota_has_held_back(
    files: dict[str, str], seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota that is there and not seen; nothing to be seen taken for nothing that happened."""
    monkeypatch.setattr(limits, "_GROUP", tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert limits.throttled() == pytest.approx(seconds, nan_ok=True)
