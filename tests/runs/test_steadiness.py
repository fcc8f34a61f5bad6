"""What runs on several machines say together of a claim. No lab is run here."""

import json
from typing import Any

import pytest

from lab_services.report.claim import Claim as Stated
from lab_services.report.claim import Kind, Rival
from lab_services.report.claims import as_row
from lab_services.report.stats import Interval
from lab_services.runs.steadiness import claims, in_words

NOBODY = Rival("it is far away", -99.0, -99.0)


def row(value: float | None, text: str = "it gains", **bounds: float) -> dict[str, Any]:
    """A claim as a run keeps it, measured to 0.1."""
    measured = (
        Interval.unknown("too few", "ratio")
        if value is None
        else Interval(value, value - 0.1, value + 0.1, 100, "ratio")
    )
    ends = {"least": 1.0, "most": float("inf"), **bounds}
    return as_row(Stated(text, Kind.REPLAYED, measured, **ends, rival=NOBODY))


def run(profile: str, *rows: dict[str, Any], **faults: str) -> dict[str, Any]:
    return {"profile": profile, "claims": list(rows), "faults": faults}


def test_verdicts_are_counted_by_profile() -> None:
    """A claim that fails on a small machine, hidden in the sum of all; the wrong one to look at."""
    found = claims(
        [
            run("quiet", row(1.5), row(3.0, "so")),
            run("quiet", row(1.5), row(3.0, "so")),
            run("half", row(0.5), row(3.0, "so")),
            run("half", row(1.05), row(3.0, "so")),
            run("busy", row(1.05), row(3.0, "so")),
            run("busy", row(1.05), row(3.0, "so")),
        ]
    )
    gains, so = found
    assert (gains.text, gains.bound) == ("it gains", "at least 1×")
    counts = [(f.drawn, f.held, f.failed, f.lacked) for f in (gains.all, *gains.on.values())]
    assert counts == [(6, 2, 1, 3), (2, 2, 0, 0), (2, 0, 1, 1), (2, 0, 0, 2)]
    assert list(gains.on) == ["quiet", "half", "busy"]
    assert gains.worst == "half"  # as seldom as on busy, but there it did not fail
    assert (so.all.held, so.all.drawn) == (6, 6)


def test_the_spread_and_the_room_to_the_bound() -> None:
    """A claim that has held so far, and by a hair; a spread of three values that looks exact."""
    (few,) = claims(run("quiet", row(value)) for value in (1.2, 1.3, 1.6))
    assert few.all.mean == pytest.approx(4.1 / 3)
    assert (few.all.spread_is, few.all.spread) == ("range", pytest.approx(0.4))
    assert few.all.room == pytest.approx((4.1 / 3 - 1) / 0.4)
    values = (1.2, 1.4, 1.6, 1.8, 2.0)
    (many,) = claims(run("quiet", row(value)) for value in values)
    assert (many.all.spread_is, many.all.spread) == ("standard deviation", pytest.approx(0.1**0.5))
    assert many.all.room == pytest.approx(0.6 / 0.1**0.5)
    (between,) = claims(run("quiet", row(value, most=1.7)) for value in values)
    assert between.all.room == pytest.approx(0.1 / 0.1**0.5)  # the upper one is nearer
    (outside,) = claims(run("quiet", row(value, least=2.0)) for value in values)
    assert outside.all.room == pytest.approx(-0.4 / 0.1**0.5)


def test_where_all_hold_the_worst_has_the_least_room() -> None:
    """A profile on which a claim will fail tomorrow, and that nobody is told of."""
    runs = [run("quiet", row(v)) for v in (2.0, 2.1)] + [run("busy", row(v)) for v in (1.2, 1.5)]
    (found,) = claims(runs)
    assert found.all.held == 4 and found.worst == "busy"
    (alike,) = claims(run(profile, row(2.0)) for profile in ("quiet", "busy"))
    assert alike.worst == ""  # and not the first one that comes


def test_what_was_not_measured_is_no_number() -> None:
    """A mean of a gap; a spread of one value; a division by a spread that is none."""
    (unknown,) = claims([run("quiet", row(None))])
    assert (unknown.all.lacked, unknown.all.mean, unknown.all.spread) == (1, None, None)
    (once,) = claims([run("quiet", row(2.0)), run("quiet", row(None))])
    assert (once.all.mean, once.all.spread, once.all.room) == (2.0, None, None)
    (exact,) = claims([run("quiet", row(2.0)), run("quiet", row(2.0))])
    assert (exact.all.spread, exact.all.room) == (0.0, None)
    (unbound,) = claims([run("quiet", row(v, least=float("nan"))) for v in (1.0, 2.0)])
    assert (unbound.all.lacked, unbound.all.mean, unbound.all.room) == (2, 1.5, None)
    assert json.dumps(row(None, least=float("nan")), allow_nan=False)


def test_an_exercise_whose_check_errs_speaks_against_the_lab() -> None:
    """A lab whose solution fails on a small machine, and whose claims all hold."""
    fault = {"the check of exercise 1": "2 is refused"}
    found = claims([run("quiet", row(2.0)), run("half", row(2.0), **fault)])
    assert [each.text for each in found] == ["it gains", "the check of exercise 1"]
    assert (found[1].all.failed, found[1].all.drawn, found[1].worst) == (1, 1, "half")


def test_a_record_in_words() -> None:
    """Luck under another bound, or on the other runtime, told of this claim."""

    def series(held: int, bound: str = "at least 1×", on: int = 5) -> dict[str, Any]:
        profiles = {str(number): {} for number in range(on)}
        counts = {"bound": bound, "held": held, "drawn": 24, "profiles": profiles}
        return {"claims": {"it gains": counts}}

    claim = row(1.5)
    record = {"process": {"short": series(20), "full": series(24)}}
    assert in_words(record, "process", claim) == "held 24 of 24 runs on 5 profiles"
    assert in_words(record, "docker", claim) == ""
    assert in_words({}, "process", claim) == ""
    assert in_words(record, "process", row(1.5, "another")) == ""
    assert in_words({"process": {"full": series(24, "at least 2×")}}, "process", claim) == ""
    assert in_words({"process": {"short": series(20)}}, "process", claim).startswith("held 20 of")
    one = {"process": {"short": series(24, on=1)}}
    assert in_words(one, "process", claim) == "held 24 of 24 runs on 1 profile"
