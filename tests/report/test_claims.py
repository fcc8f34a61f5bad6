"""Claims and their three verdicts."""

import json
import math

import pytest

from lab_services.report.claims import MIME, Claims, Verdict
from lab_services.report.stats import Interval


def verdict(measured, **bounds):
    claims = Claims()
    claims.claim("it is so", measured, **bounds)
    (claim,) = claims
    return claim.verdict


def interval(low, high, **more):
    return Interval((low + high) / 2, low, high, 100, "ratio", **more)


@pytest.mark.parametrize(
    ("low", "high", "bounds", "expected"),
    [
        (3.0, 4.0, {"at_least": 3}, Verdict.HOLDS),
        (2.9, 4.0, {"at_least": 3}, Verdict.NOT_ENOUGH),
        (2.0, 2.9, {"at_least": 3}, Verdict.FAILS),
        (2.0, 3.0, {"at_least": 3}, Verdict.NOT_ENOUGH),
        (1.0, 2.0, {"at_most": 2}, Verdict.HOLDS),
        (1.0, 2.1, {"at_most": 2}, Verdict.NOT_ENOUGH),
        (2.1, 2.2, {"at_most": 2}, Verdict.FAILS),
        (1.1, 1.9, {"between": (1, 2)}, Verdict.HOLDS),
        (0.9, 1.9, {"between": (1, 2)}, Verdict.NOT_ENOUGH),
        (0.5, 2.9, {"between": (1, 2)}, Verdict.NOT_ENOUGH),
        (2.1, 2.9, {"between": (1, 2)}, Verdict.FAILS),
        (0.1, 0.9, {"between": (1, 2)}, Verdict.FAILS),
        (3.5, math.inf, {"at_least": 3}, Verdict.HOLDS),
        (3.5, math.inf, {"at_most": 3}, Verdict.FAILS),
        (2.5, math.inf, {"at_most": 3}, Verdict.NOT_ENOUGH),
    ],
)
def test_verdict_from_the_interval(low, high, bounds, expected):
    """A verdict from the value alone, which luck decides."""
    assert verdict(Interval(3.6, low, high, 100, "ratio"), **bounds) is expected


def test_counted_numbers_have_no_interval():
    """`no request is lost` that can never hold, or that never fails."""
    assert verdict(0, at_most=0) is Verdict.HOLDS
    assert verdict(1, at_most=0) is Verdict.FAILS


def test_bad_evidence_is_not_enough():
    """A claim that holds thanks to traffic that was not what was asked for, or to no number."""
    assert verdict(interval(3, 4, note="late traffic"), at_least=1) is Verdict.NOT_ENOUGH
    unknown = Interval(math.nan, math.nan, math.nan, 5, "ratio", "5 requests are too few")
    assert verdict(unknown, at_least=1) is Verdict.NOT_ENOUGH
    claims = Claims()
    claims.claim("it is so", unknown, at_least=1)
    assert str(claims).endswith("measured not known, claimed at least 1×; 5 requests are too few")


@pytest.mark.parametrize("measured", [None, math.nan, math.inf])
@pytest.mark.parametrize("bounds", [{"at_least": 1}, {"at_most": 1}, {"between": (0, 1)}])
def test_what_is_not_known_bears_nothing_out(measured, bounds, capsys):
    """A table that cannot be drawn or kept, or a verdict, from no number at all."""
    claims = Claims()
    claims.claim("it is so", measured, **bounds)
    claims.check()
    (row,) = claims._repr_mimebundle_()[MIME]["claims"]
    assert (row["verdict"], row["measured"]["text"]) == ("not enough evidence", "not known")
    assert row["reason"] in ("not known", "infinite")
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize(
    "bounds",
    [
        {"at_least": math.nan},
        {"at_most": math.nan},
        {"between": (0, math.nan)},
        {"at_most": math.inf},
    ],
)
def test_a_bound_that_is_not_known_decides_nothing(bounds):
    """A bound computed from what could not be measured, which nothing can break."""
    claims = Claims()
    claims.claim("it is so", interval(3, 4), **bounds)
    (claim,) = claims
    assert (claim.verdict, claim.bound) == (Verdict.NOT_ENOUGH, "not known")
    assert claim.reason == "the bound is not known"


def test_settling_shows_what_fails_and_by_how_much(capsys):
    """A notebook that stops before its exercises, or that passes over a false statement."""
    claims = Claims()
    claims.claim("it holds", interval(3, 4), at_least=2)
    claims.claim("it may be", interval(1, 4), at_least=2)
    claims.claim("a hit is 3 times faster", interval(1.5, 2), at_least=3)
    claims.check()
    table = capsys.readouterr().out
    assert "fails                a hit is 3 times faster" in table
    assert "misses the bound by at least 1.00×" in table
    assert "not enough evidence  it may be" in table
    assert "Claims that fail here: 1 of 3." in table and "lab prove" in table
    assert "<strong>fails</strong>" in claims._repr_mimebundle_()["text/html"]


def test_what_is_not_judged_shows_no_verdict(capsys, monkeypatch):
    """Two of the shortest runs compared by verdicts that are due to chance."""
    claims = Claims()
    claims.claim("it gains", interval(1, 2), at_least=3)
    claims.verdicts()
    monkeypatch.setenv("LAB_JUDGED", "0")
    claims.verdicts()
    assert capsys.readouterr().out == "fails: it gains\nit gains\n"


def test_verdicts_show_no_number(capsys):
    """nbval comparing two runs by their numbers, which always differ."""
    for middle in (3.0, 3.3):
        claims = Claims()
        claims.claim("a hit is faster", interval(middle - 0.1, middle + 0.1), at_least=2)
        claims.verdicts()
    first, second = capsys.readouterr().out.splitlines()
    assert first == second == "holds: a hit is faster"


def test_table_is_escaped_and_complete():
    """A claim that is not in the table, or that breaks the page."""
    claims = Claims()
    claims.claim("p99 < 1 s & more", interval(1.5, 2), at_least=3)
    bundle = claims._repr_mimebundle_()
    page = bundle["text/html"]
    for text in ("p99 &lt; 1 s &amp; more", "at least 3×", "fails", "1.8× (1.5 to 2.0×)"):
        assert text in page
    assert "fails" in bundle["text/plain"]


@pytest.mark.parametrize("bounds", [{}, {"at_least": 1, "at_most": 2}, {"between": (2, 1)}])
def test_unclear_bounds_are_refused(bounds):
    """A claim that nothing can break."""
    with pytest.raises(ValueError):
        Claims().claim("it is so", 1, **bounds)


def test_claims_are_told_apart():
    """Two claims with one text, of which the run would show one."""
    claims = Claims()
    claims.claim("it is so", 1, at_least=1)
    with pytest.raises(ValueError, match="already"):
        claims.claim("it is so", 1, at_least=1)


def test_no_claims_settle_nothing():
    """A lab that calls settle() before it claims anything."""
    with pytest.raises(ValueError, match="no claims"):
        Claims().check()
