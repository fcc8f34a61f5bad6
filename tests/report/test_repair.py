"""Repairs of a running stack: a small fake one, that is mended by one thing and by no other."""

import pytest

from lab_services import Repair
from lab_services.report import by_anyone
from tests.recordings import recorded


class FakeStack:
    """A service that answers in time where its model is small, however many replicas it has."""

    def __init__(self, requests=400):
        self.model, self.replicas, self.requests, self.note = "big", 1, requests, ""
        self.asked = 0

    def broken(self):
        self.model, self.replicas = "big", 1

    def smaller_model(self):
        self.model = "small"

    def second_replica(self):
        self.replicas = 2

    def send(self):
        self.asked += 1
        quick = {"small": 19, "big": 1, "middle": 18}[self.model]
        rows = [(n / 100, 0.01 if n % 20 < quick else 0.5, 200) for n in range(self.requests)]
        return recorded(rows, note=self.note, late=0.2 if self.note else 0.0)


def repair_of(stack, **words):
    told = {
        "level": "on call",
        "minutes": 10,
        "broken": stack.broken,
        "send": stack.send,
        "judge": lambda recording: by_anyone(recording, 0.1),
        "at_least": 0.9,
        "wrong": [(stack.second_replica, "Each answer takes as long as before.")],
        "hint": "What takes longer than the deadline?",
    }
    return Repair("3", **{**told, **words})


@pytest.fixture
def proved(monkeypatch):
    """What the proof of a repair shows."""

    def prove(repair, right):
        found = []
        monkeypatch.setattr("lab_services.report.repair.display", found.append)
        repair.prove(right)
        (proof,) = found
        return proof

    return prove


def test_a_repair_is_tried_under_traffic():
    """A check that believes what it is told; one that finds the repair of before in place."""
    stack = FakeStack()
    repair = repair_of(stack)
    assert repair.check(None) == "Exercise 3 (on call, 10 minutes): your turn."
    assert stack.asked == 0
    told = repair.check(stack.smaller_model)
    assert told.startswith("Exercise 3 (on call, 10 minutes): right. 95 %")
    assert "at least 90 % was asked for" in told
    untouched = repair.check(lambda: None)
    assert "not yet. 5" in untouched and untouched.endswith(
        "\nWhat takes longer than the deadline?"
    )
    assert "not yet" in repair.check(stack.second_replica)
    assert stack.asked == 3


@pytest.mark.parametrize(
    ("requests", "note", "model"), [(3, "", "small"), (400, "late", "small"), (400, "", "middle")]
)
def test_what_traffic_does_not_say_is_undecided(requests, note, model):
    """A repair that is right because nobody asked, or because the machine was busy."""
    stack = FakeStack(requests)
    stack.note = note
    told = repair_of(stack).check(lambda: setattr(stack, "model", model))
    assert "undecided" in told and "Check again" in told and note in told


def test_a_call_in_the_place_of_the_function_is_told():
    """`check(my_repair())`, which has repaired something that is broken again."""
    told = repair_of(FakeStack()).check(True)
    assert "not yet. Give a function without arguments and do not call it" in told


def test_the_proof_holds_all_four(proved):
    """A check that was never seen to refuse, or to say that it does not know."""
    stack = FakeStack()
    proof = proved(repair_of(stack), stack.smaller_model)
    assert (proof.fault, proof.lacks) == ("", "")
    assert stack.model == "small", "the stack is left mended"
    (kept,) = [d for m, d in proof._repr_mimebundle_().items() if m.endswith("exercise+json")]
    assert kept["trials"] == {
        "untouched": "broken",
        "second replica": "broken",
        "smaller model": "mended",
        "without traffic": "undecided",
    }
    told = repr(proof)
    assert told.startswith("Exercise 3: the repair is right.\nuntouched: broken, 5")
    assert "second replica: broken" in told and "Each answer takes as long as before." in told


@pytest.mark.parametrize(
    ("words", "right", "fault"),
    [
        ({"broken": lambda: None}, "smaller_model", ""),
        ({"at_least": 0.01}, "smaller_model", "untouched should be broken and is mended"),
        (
            {"wrong": [(print, "?")], "at_least": 0.999},
            "smaller_model",
            "smaller model should be m",
        ),
        ({}, "second_replica", "second replica should be mended and is broken"),
    ],
)
def test_a_check_that_errs_is_found(proved, words, right, fault):
    """A stack that was never broken, a bound that everything keeps, a repair that does nothing."""
    stack = FakeStack()
    assert fault in proved(repair_of(stack, **words), getattr(stack, right)).fault


def test_a_check_that_needs_no_traffic_is_found(proved):
    """A judge who knows the answer beforehand."""
    stack = FakeStack()
    always = by_anyone(recorded([(n / 100, 0.01, 200) for n in range(400)]), 0.1)
    proof = proved(repair_of(stack, judge=lambda recording: always), stack.smaller_model)
    assert "without traffic should be undecided and is mended" in proof.fault


def test_what_could_not_be_decided_is_no_fault(proved):
    """A busy machine by which a sound exercise is called broken, or an empty proof called whole."""
    stack = FakeStack(requests=3)
    proof = proved(repair_of(stack), stack.smaller_model)
    assert proof.fault == ""
    assert "smaller model should be mended and is undecided" in proof.lacks


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"wrong": []}, "name a plausible repair that does not mend it"),
        ({"wrong": [(print, "")]}, "is no pair"),
        ({"level": "hard"}, "no level 'hard'"),
    ],
)
def test_a_repair_says_what_it_lacks(words, says):
    """A repair with nothing to be told from."""
    with pytest.raises(ValueError, match=says):
        repair_of(FakeStack(), **words)
