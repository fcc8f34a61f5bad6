"""Guesses beside what was measured."""

import math

import pytest

from lab_services import Guess
from lab_services.report import Interval
from lab_services.report.guess import MIME, Compared

REASONS = {"cores": "each has a core of its own", "shared": "both share the cores"}
BECAUSE = {"cores": "Only with <cores> to spare.", "shared": "So it is."}
FOUND = Interval(1.5, 1.4, 1.6, 900, "ratio")


def asked(mine=None, reason=None, unit="ratio"):
    return Guess("How much faster?", unit=unit, reasons=REASONS, mine=mine, reason=reason)


@pytest.fixture
def shown(monkeypatch):
    """What the outcome of a guess shows."""

    def show(guess, measured=FOUND, because=BECAUSE):
        found = []
        monkeypatch.setattr("lab_services.report.guess.display", found.append)
        guess.outcome(measured, because)
        (one,) = found
        return one._repr_mimebundle_()

    return show


@pytest.mark.parametrize(
    ("mine", "side"),
    [(1, "too low"), (1.45, "inside the interval"), (2.0, "too high"), (None, "")],
)
def test_a_guess_is_shown_beside_its_interval(shown, mine, side):
    """A guess that the notebook forgets; one inside the interval that is called wrong."""
    bundle = shown(asked(mine, "cores"))
    written = "no number" if mine is None else f"{mine:g}×"
    expected = f"your guess: {written}, because each has a core of its own"
    told = bundle["text/plain"].splitlines()
    assert told == [
        "How much faster?",
        f"{expected} ({side})" if side else expected,
        "measured: 1.5× (1.4 to 1.6×)",
        "each has a core of its own: Only with <cores> to spare.",
    ]
    page = bundle["text/html"]
    # The reader's own sentence is open, those for other reasons can be opened.
    own, others = page.split("<details>")
    assert "Only with &lt;cores&gt; to spare." in own and "So it is." in others
    assert "Only with" not in others


def test_who_guesses_nothing_loses_nothing(shown):
    """A blank guess that stops the notebook, or hides what was measured."""
    bundle = shown(asked())
    told = bundle["text/plain"]
    assert "your guess: no guess\nmeasured: 1.5× (1.4 to 1.6×)" in told
    assert "Only with <cores>" in told and "So it is." in told
    assert bundle[MIME]["mine"] is None and bundle[MIME]["reason"] is None


def test_a_guess_is_kept_with_what_came(shown):
    """A kept run from which no contract can tell whether a guess was answered."""
    kept = shown(asked(2, "shared"))[MIME]
    assert (kept["question"], kept["mine"], kept["reason"]) == ("How much faster?", 2.0, "shared")
    assert (kept["side"], kept["measured"]["text"]) == ("too high", "1.5×")
    assert kept["because"] == BECAUSE


def test_a_count_is_an_outcome(shown):
    """A count that needs an interval; a guess that is right and called too low."""
    told = shown(asked(3, unit="versions"), 3)["text/plain"]
    assert "your guess: 3 versions (just so)\nmeasured: 3 versions" in told


@pytest.mark.parametrize("measured", [None, Interval.unknown("too few came", "ratio")])
def test_what_could_not_be_measured_is_said(shown, measured):
    """A short run in which a guess ends in an error, or is too high beside nothing."""
    told = shown(asked(2.0), measured)["text/plain"]
    assert "your guess: 2×\nmeasured: not known" in told


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"mine": "twice"}, r"is 'twice', which is no number. Write a number \(2 is twice\)"),
        ({"mine": True}, "is True, which is no number"),
        ({"mine": math.nan}, "is nan, which is no number"),
        ({"mine": 10, "unit": "share"}, r"is 10, which no share can be.* \(0.1 is 10 %\), or None"),
        ({"mine": "2", "unit": "jobs"}, "Write a number of jobs, or None"),
        ({"reason": "core"}, "no reason 'core': write one of 'cores', 'shared', or None"),
    ],
)
def test_a_reader_is_told_what_to_write(words, says):
    """A slip of the reader's that shows ten minutes later, as another error."""
    with pytest.raises(ValueError, match=says):
        asked(**words)


@pytest.mark.parametrize("reasons", [{}, {"one": "a single one"}, {"a": "", "b": "that"}])
def test_a_question_needs_reasons_to_choose_among(reasons):
    """A question of which nothing can be learnt but the number."""
    with pytest.raises(ValueError, match=r"needs two reasons or more.*reasons=\{"):
        Guess("How much?", reasons=reasons)


@pytest.mark.parametrize(
    ("measured", "because", "says"),
    [
        (1.5, BECAUSE, "The guess 'How much faster.' is about the bare number 1.5.*the interval"),
        ("1.5", BECAUSE, "which is no number"),
        (Interval(1, 1, 2, 3, "s"), BECAUSE, r"is in 'ratio' and .* in 's'.*\.scaled"),
        (FOUND, {"cores": "So."}, r"for each of its reasons.*because=\{'cores': …, 'shared': …\}"),
        (FOUND, BECAUSE | {"third": "?"}, "and for nothing else"),
        (FOUND, BECAUSE | {"cores": " "}, "a sentence for each"),
    ],
)
def test_an_outcome_that_says_too_little_is_refused(shown, measured, because, says):
    """A number without its interval; a reason to which nothing is answered."""
    with pytest.raises(ValueError, match=says):
        shown(asked(), measured, because)


def test_a_guess_says_what_it_asks():
    """A guess that shows as an address in memory."""
    assert repr(asked(2)) == (
        "How much faster?\n2×\n  cores: each has a core of its own\n  shared: both share the cores"
    )


def test_what_is_in_doubt_judges_no_guess():
    """A guess called too high by a measurement on which no claim would hold."""
    noted = Interval(0.5, 0.4, 0.6, 900, "ratio", "Disturbed: by make.")
    told = repr(Compared(asked(mine=2.0), noted, BECAUSE))
    assert "too high" not in told and "but: Disturbed: by make." in told
    open_ended = Interval(0.5, -math.inf, math.inf, 1, "ratio")
    assert Compared(asked(mine=2.0), open_ended, BECAUSE).side == ""


def test_a_guess_without_unit_is_no_guess_in_seconds():
    """A guess of 5, in milliseconds, told as a thousand times too high."""
    with pytest.raises(ValueError, match="Ask in the unit"):
        asked(unit="").outcome(Interval(0.005, 0.004, 0.006, 900, "s"), BECAUSE)
    with pytest.raises(ValueError, match="which is no number"):
        asked(mine=10**400)
