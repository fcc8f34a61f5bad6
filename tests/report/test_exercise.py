"""Exercises: what a reader is told, and the proof that the check can tell."""

import numpy as np
import pytest

from lab_services import Exercise

ONE = "That is what one of the two replicas bears."


def exercise(**words):
    told = {
        "level": "apply",
        "minutes": 3,
        "right": lambda rate: abs(rate / 80 - 1) < 0.1,
        "wrong": [(40.0, ONE), (160.0, "That counts both replicas twice.")],
        "hint": "Busy share is rate times service time.",
    }
    return Exercise("1", **{**told, **words})


@pytest.fixture
def fault(monkeypatch):
    """What is found wrong with a check."""

    def prove(exercise, *given, **words):
        found = []
        monkeypatch.setattr("lab_services.report.exercise.display", found.append)
        exercise.prove(*given, **words)
        return found[0].fault

    return prove


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "Exercise 1 (apply, 3 minutes): your turn."),
        (81, "Exercise 1 (apply, 3 minutes): right."),
        (40, f"Exercise 1 (apply, 3 minutes): not yet. {ONE}\nBusy share is"),
        (41, f"Exercise 1 (apply, 3 minutes): not yet. {ONE}\nBusy share is"),
        (160, "not yet. That counts both replicas twice.\nBusy share is"),
        (50, "Exercise 1 (apply, 3 minutes): not yet. Busy share is"),
        ("many", "Exercise 1 (apply, 3 minutes): not yet. Busy share is"),
    ],
)
def test_a_reader_is_told_why_an_answer_is_wrong(answer, says):
    """A typical mistake to which nothing is said but "no"."""
    assert says in exercise().check(answer)


def test_a_count_is_another_wrong_answer_when_it_is_off_by_one():
    """Somebody who asks for 41 replicas, and is told why 40 are too few."""
    counted = exercise(right=lambda n: n == 42, wrong=[(40, "two too few"), (41, "one too few")])
    assert "one too few" in counted.check(41) and "two too few" in counted.check(40)
    assert "few" not in counted.check(39)


@pytest.mark.parametrize(
    ("given", "wrong"), [("abc", "abc"), ({"a", "b"}, {"b", "a"}), ((5.4, 0.72), (5.41, 0.72))]
)
def test_answers_of_any_kind_are_compared(given, wrong):
    """Sets, texts and pairs that are never told why."""
    told = exercise(right=lambda answer: False, wrong=[(wrong, "so it is not")])
    assert "so it is not" in told.check(given)
    assert "so it is not" not in told.check((1, 2, 3))


def test_functions_are_compared_by_what_they_do():
    """A function of the reader's, which never is the very one that the author wrote."""
    told = exercise(
        right=lambda function: function(2) == 8,
        wrong=[(lambda x: 2 * x, "That doubles.")],
        key=lambda function: [function(x) for x in (1, 2, 3)],
    )
    assert "That doubles." in told.check(lambda x: x + x)
    assert "That doubles." not in told.check(lambda x: 5 * x)
    assert "right" in told.check(lambda x: x**3)


def test_the_proof_tries_each_wrong_answer(fault):
    """A typical wrong answer that the check takes for right."""
    assert fault(exercise(), 80) == ""
    assert fault(exercise(), 200) == "its own solution 200 is refused (the check says no)"
    assert fault(exercise(wrong=[(79, "?")]), 80) == "the wrong answer 79 is accepted"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"level": "hard"}, "no level 'hard'; write one of 'apply', 'design', 'on call'"),
        ({"minutes": 0}, "minutes=0 is no number of minutes; write minutes=5"),
        ({"minutes": "5"}, "minutes='5' is no number of minutes"),
        ({"wrong": []}, "name a wrong answer to be refused"),
        ({"wrong": [40]}, r"40 is no pair .*: wrong=\[\("),
        ({"wrong": [(40, "")]}, r"\(40, ''\) is no pair"),
    ],
)
def test_an_exercise_says_what_it_lacks(words, says):
    """An exercise without a level; a wrong answer without its reason."""
    with pytest.raises(ValueError, match=says):
        exercise(**words)


def test_a_proof_without_wrong_answers_is_none():
    """A check that says yes to everything, and is proved."""
    with pytest.raises(ValueError, match=r"name a wrong answer.*wrong=\[\("):
        exercise(wrong=()).prove(80)


@pytest.mark.parametrize("answer", [0, np.array([1.0, 2.0]), "eighty", object(), lambda: [][0]])
def test_no_answer_ends_in_a_traceback(answer):
    """A reader's answer that the check divides by, calls, or cannot compare."""
    right = lambda given: abs(80 / (given() if callable(given) else given) - 1) < 0.1  # noqa: E731
    asked = exercise(right=right, wrong=[(40.0, "Half.")])
    assert "not yet" in asked.check(answer)


def test_the_nearest_wrong_answer_says_why():
    """Two wrong answers within the tolerance, of which the first in the list is told."""
    wrong = [(100.0, "A hundred."), (104.0, "More.")]
    asked = exercise(right=lambda given: given == 80, wrong=wrong)
    assert "More." in asked.check(103.5) and "A hundred." in asked.check(100.5)
    assert "hundred" not in asked.check(120.0)
