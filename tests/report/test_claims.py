"""Claims and their three verdicts."""

import json
import math

import numpy as np
import pytest

from lab_services import report
from lab_services.report.claim import Verdict
from lab_services.report.claims import MIME, Claims
from lab_services.report.stats import Interval

NOTHING = ("nothing comes of it", -9)


def state(claims, text, found, *, rival=NOTHING, **bounds):
    """A claim whose rival predicts what no bound of these tests lets pass."""
    if "at_most" in bounds and rival == NOTHING:
        rival = (rival[0], 99)
    claims.measured(text, found, rival=rival, **bounds)


def verdict(measured, **bounds):
    claims = Claims()
    state(claims, "it is so", measured, **bounds)
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
    state(claims, "it is so", unknown, at_least=1)
    assert str(claims).endswith(
        "found not known, claimed at least 1×; 5 requests are too few; "
        "rival: nothing comes of it (-9×)"
    )


@pytest.mark.parametrize("value", [None, math.nan, math.inf, Interval.exact(math.nan)])
@pytest.mark.parametrize("bounds", [{"at_least": 1}, {"at_most": 1}, {"between": (0, 1)}])
def test_what_is_not_known_bears_nothing_out(value, bounds, capsys):
    """A table that cannot be drawn or kept, or a verdict, from no number at all."""
    claims = Claims()
    state(claims, "it is so", value, **bounds)
    claims.check()
    (row,) = claims._repr_mimebundle_()[MIME]["claims"]
    assert (row["verdict"], row["measured"]["text"]) == ("not enough evidence", "not known")
    assert row["reason"] in ("not known", "infinite")
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (0.83, "the bare number 0.83"),
        (np.float64(2), "the bare number 2"),
        (np.mean([1, 2]), "the bare number 1.5"),
        (interval(3, 4).value, "the bare number 3.5"),
        (True, "True, which is no number"),
        (np.bool_(1), "(np.)?True_?, which is no number"),
        ("3", "'3', which is no number"),
        (np.sum([]), "the bare number 0"),
    ],
)
def test_a_number_without_an_interval_is_refused(found, why):
    """An estimate that is judged as if it had been counted."""
    with pytest.raises(
        ValueError, match=rf"'it is so' is about {why}.*int\(...\) where it was counted"
    ):
        state(Claims(), "it is so", found, at_least=1)


@pytest.mark.parametrize("count", [3, np.int64(3)])
def test_a_count_is_an_integer(count):
    """Lost requests that need an interval."""
    assert verdict(count, at_least=3) is Verdict.HOLDS


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Interval.exact(0.83), Verdict.NOT_ENOUGH),
        (Interval.exact(2.0, "calls"), Verdict.NOT_ENOUGH),
        (report.t_interval([3, 3, 3], "calls"), Verdict.NOT_ENOUGH),
        (report.quotient(9, 3), Verdict.NOT_ENOUGH),
        (Interval.exact(2, "calls"), Verdict.HOLDS),
    ],
)
def test_an_estimate_has_an_interval(found, expected):
    """A mean of rounds that were all alike, taken as certain; a count that is doubted."""
    assert verdict(found, at_least=0.5) is expected


@pytest.mark.parametrize("unit", ["s", "requests/s"])
def test_a_measured_bound_in_seconds_is_refused(unit):
    """A claim about the speed of its author's machine."""
    slow = Interval(0.2, 0.1, 0.3, 50, unit)
    with pytest.raises(ValueError, match=f"has a bound in {unit}.*as a ratio"):
        state(Claims(), "it is so", slow, at_most=0.5)
    simulated = Claims()
    simulated.replayed("it is so", slow, at_most=0.5, rival=("it is slow", 1.0))
    assert [claim.verdict for claim in simulated] == [Verdict.HOLDS]


@pytest.mark.parametrize(
    ("unit", "bounds"),
    [("ratio", {"at_least": 0}), ("share", {"at_most": 1}), ("share", {"at_least": -1})],
)
def test_a_bound_that_all_numbers_keep_is_refused(unit, bounds):
    """A claim that holds of whatever is measured."""
    found = Interval(0.9, 0.8, 0.95, 50, unit)
    with pytest.raises(ValueError, match="is kept by whatever is found"):
        state(Claims(), "it is so", found, rival=("it is not", Interval.exact(-2)), **bounds)


def test_no_effect_is_the_rival_of_a_direction():
    """A direction that needs an effect the wrong way round as its rival; one that 0 bears out."""
    none = ("it changes nothing", 0)
    faster = Interval(0.2, 0.1, 0.3, 50, "s")
    touching = Interval(0.2, 0, 0.3, 50, "s")
    assert verdict(faster, at_least=0, rival=none) is Verdict.HOLDS
    assert verdict(touching, at_least=0, rival=none) is Verdict.NOT_ENOUGH
    slower = Interval(-0.2, -0.3, 0, 50, "s")
    assert verdict(slower, at_most=0, rival=none) is Verdict.NOT_ENOUGH
    with pytest.raises(ValueError, match="would hold if its rival were true"):
        state(Claims(), "none is lost", 0, at_most=0, rival=("some are lost", 0))


@pytest.mark.parametrize(
    ("predicts", "bounds"),
    [
        (3.1, {"at_least": 3}),
        ((1, 3.5), {"at_least": 3}),
        ((1, math.inf), {"between": (3, 4)}),
        (3, {"between": (3, 3)}),
        (0.2, {"at_most": 0.5}),
    ],
)
def test_a_rival_that_would_pass_is_refused(predicts, bounds):
    """A claim that holds if its sentence is false."""
    with pytest.raises(ValueError, match=r"would hold if its rival were true.*Move the bound"):
        state(Claims(), "it is so", interval(3.2, 3.4), rival=("it is not", predicts), **bounds)


@pytest.mark.parametrize(
    ("rival", "why"),
    [
        (None, r"needs a rival.*rival=\(.the network"),
        ("it is not", "needs a rival"),
        (("it is not",), "needs a rival"),
        (3.0, "needs a rival"),
        (("", 1.0), "has no sentence"),
        (("it is not", "much"), "predicts 'much', not a number or two ends"),
        (("it is not", True), "predicts True, not a number"),
        (("it is not", (2, 1)), "the lower end first"),
        (("it is not", math.inf), "one that is a number"),
        (("it is not", (-math.inf, math.inf)), "one that is a number"),
        (("it is not", Interval(1, 0.9, 1.1, 9, "s")), "the claim is in 'ratio'.*in one unit"),
    ],
)
def test_a_rival_that_says_nothing_is_refused(rival, why):
    """A sentence that nobody denies, or with which nobody can be wrong."""
    with pytest.raises(ValueError, match=why):
        Claims().measured("it is so", interval(3, 4), at_least=3, rival=rival)


def test_a_share_has_a_rival_that_a_share_can_be():
    """A rival that nobody could hold, beside which every bound looks sharp."""
    most = Interval(0.9, 0.8, 0.95, 50, "share")
    with pytest.raises(ValueError, match="which no share can be"):
        state(Claims(), "it is so", most, at_most=0.99, rival=("it is not", 2))


def test_what_could_not_be_measured_has_any_unit():
    """A lab that breaks off because a number came back without its unit."""
    nothing = Interval.unknown("nobody asked")
    rival = ("a copy does as well", Interval(0.5, 0.4, 0.6, 9, "share"))
    assert verdict(nothing, at_least=0.7, rival=rival) is Verdict.NOT_ENOUGH


OTHER = interval(1, 2)
ALIKE = interval(1, 3.1)
NONE = Interval.unknown("nothing came", "ratio")
LATE = interval(1, 2, note="late traffic")


@pytest.mark.parametrize(
    ("predicted", "found", "expected", "reason"),
    [
        (OTHER, interval(3.2, 3.4), Verdict.HOLDS, ""),
        (ALIKE, interval(3.2, 3.4), Verdict.NOT_ENOUGH, "the rival would pass here, too"),
        (NONE, interval(3.2, 3.4), Verdict.NOT_ENOUGH, "of the rival: nothing came"),
        (math.nan, interval(3.2, 3.4), Verdict.NOT_ENOUGH, "what the rival predicts is not known"),
        (LATE, interval(3.2, 3.4), Verdict.NOT_ENOUGH, "of the rival: late traffic"),
        (ALIKE, interval(1.2, 1.4), Verdict.FAILS, "misses the bound by at least 1.60×"),
        (NONE, interval(1.2, 1.4), Verdict.FAILS, "misses the bound by at least 1.60×"),
        (ALIKE, interval(2.9, 3.4), Verdict.NOT_ENOUGH, "the interval reaches over the bound"),
    ],
)
def test_a_rival_from_this_run_is_judged_with_it(predicted, found, expected, reason):
    """A lab that breaks off where two theories happen to agree; a failure that this hides."""
    claims = Claims()
    state(claims, "it is so", found, at_least=3, rival=("a copy of it does as well", predicted))
    (claim,) = claims
    assert (claim.verdict, claim.reason) == (expected, reason)


def test_kind_and_rival_are_kept_and_shown():
    """A claim whose reader cannot tell what it is about, or what else it might have been."""
    claims = Claims()
    rival = ("it costs <nothing>", (0.5, 1.2))
    claims.measured("it is measured", interval(3.2, 3.4), at_least=3, rival=rival)
    claims.computed("it is computed", interval(3.2, 3.4), at_least=3, rival=rival)
    claims.replayed("it is replayed", interval(3.2, 3.4), at_least=3, rival=rival)
    bundle = claims._repr_mimebundle_()
    rows = bundle[MIME]["claims"]
    kinds = ["measured on this run's services", "computed on stored data", "replayed with a seed"]
    assert [row["kind"] for row in rows] == kinds
    assert rows[0]["rival"] == "it costs <nothing> (0.5× to 1.2×)"
    assert "rival: it costs &lt;nothing&gt; (0.5× to 1.2×)" in bundle["text/html"]
    assert kinds[2] in bundle["text/html"]
    assert "rival: it costs <nothing> (0.5× to 1.2×)" in bundle["text/plain"]


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
    state(claims, "it is so", interval(3, 4), **bounds)
    (claim,) = claims
    assert (claim.verdict, claim.bound) == (Verdict.NOT_ENOUGH, "not known")
    assert claim.reason == "the bound is not known"


def test_settling_shows_what_fails_and_by_how_much(capsys):
    """A notebook that stops before its exercises, or that passes over a false statement."""
    claims = Claims()
    state(claims, "it holds", interval(3, 4), at_least=2)
    state(claims, "it may be", interval(1, 4), at_least=2)
    state(claims, "a hit is 3 times faster", interval(1.5, 2), at_least=3)
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
    state(claims, "it gains", interval(1, 2), at_least=3)
    claims.verdicts()
    monkeypatch.setenv("LAB_JUDGED", "0")
    claims.verdicts()
    assert capsys.readouterr().out == "fails: it gains\nit gains\n"


def test_verdicts_show_no_number(capsys):
    """nbval comparing two runs by their numbers, which always differ."""
    for middle in (3.0, 3.3):
        claims = Claims()
        state(claims, "a hit is faster", interval(middle - 0.1, middle + 0.1), at_least=2)
        claims.verdicts()
    first, second = capsys.readouterr().out.splitlines()
    assert first == second == "holds: a hit is faster"


def test_table_is_escaped_and_complete():
    """A claim that is not in the table, or that breaks the page."""
    claims = Claims()
    state(claims, "p99 < 1 s & more", interval(1.5, 2), at_least=3)
    bundle = claims._repr_mimebundle_()
    page = bundle["text/html"]
    for text in ("p99 &lt; 1 s &amp; more", "at least 3×", "fails", "1.8× (1.5 to 2.0×)"):
        assert text in page
    assert "fails" in bundle["text/plain"]


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        ({}, "exactly one of"),
        ({"at_least": 1, "at_most": 2}, "exactly one of"),
        ({"between": (2, 1)}, r"wrong order: between=\(2, 1\)"),
        ({"between": (2,)}, "a bound is a number, between two"),
        ({"at_least": interval(1, 2)}, r"divide by it with \.over"),
    ],
)
def test_unclear_bounds_are_refused(bounds, why):
    """A claim that nothing can break."""
    with pytest.raises(ValueError, match=why):
        Claims().measured("it is so", 1, rival=NOTHING, **bounds)


def test_claims_are_told_apart():
    """Two claims with one text, of which the run would show one."""
    claims = Claims()
    state(claims, "it is so", 1, at_least=1)
    with pytest.raises(ValueError, match="already"):
        state(claims, "it is so", 1, at_least=1)


def test_no_claims_settle_nothing():
    """A lab that asks for verdicts before it claims anything."""
    with pytest.raises(ValueError, match="no claims"):
        Claims().check()
