"""What of the machine this process may use, read from either version of control groups."""

import math
from pathlib import Path

import pytest

from lab_services import limits


@pytest.mark.parametrize(
    ("stat", "found"),
    [
        ("usage_usec 5\nnr_periods 9\nnr_throttled 2\nthrottled_usec 1500000\n", (9, 2)),
        ("nr_periods 9\nnr_throttled 3\nthrottled_time 2500000000\n", (9, 3)),
        # The top group of version 2 has no quota, and other systems have no groups.
        ("usage_usec 5\n", (math.nan, math.nan)),
        (None, (math.nan, math.nan)),
    ],
)
def test_how_often_a_quota_has_held_back(
    stat: str | None, found: tuple[float, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota that is there and not seen; nothing to be seen taken for nothing that happened."""
    monkeypatch.setattr(limits, "groups", lambda: [(tmp_path, tmp_path, 2)])
    if stat is not None:
        (tmp_path / "cpu.stat").write_text(stat)
    assert limits.throttled() == pytest.approx(found, nan_ok=True)
