"""Helpers of the lab `qa/offline-only`: what it reads off, and the theory."""

import math

import numpy as np
import pandas as pd
import pytest

from lab_services.labs.qa.offline_only import candidates, lab, users
from lab_services.models import dataset, features, scoring, subprocess_training
from lab_services.report import Change
from lab_services.report.ranking import auc, auc_interval


def test_travellers_do_what_answers_and_patience_let_them():
    """Points of a traveller given to the next one, where one of them is not in the log."""
    asked = pd.DataFrame(
        {
            "request": ["t-0", "t-1", "t-2", "t-3"],
            "intended": [1.0, 2.0, 3.0, 4.0],
            "latency": [0.0, 0.0, 99.0, 0.0],
            "ok": True,
        }
    )
    answers = pd.DataFrame({"request": ["t-0", "t-3", "t-2"], "model": "today", "warned": True})
    table = lab.behaved(asked, answers, [True, True, True, False])
    assert table["request"].tolist() == ["t-0", "t-2", "t-3"]
    assert table["points"].tolist() == [5, 0, 0]


# --- the travellers ------------------------------------------------------------------------------


def test_points_are_those_of_the_table():
    """Points for an answer that nobody has seen."""
    warned = np.array([False, False, True, True, True])
    late = np.array([False, True, True, False, True])
    stayed = np.array([True, True, True, True, False])
    assert users.points(warned, late, stayed).tolist() == [1, 1, 5, 0, 0]


def test_patience_is_as_the_theory_has_it():
    """A curve of other travellers than those who ask."""
    waits = users.patience(50_000)
    assert waits.mean() == pytest.approx(users.PATIENCE, rel=0.02)
    for seconds in (0.1, 0.5, 2.0):
        assert (waits > seconds).mean() == pytest.approx(users.staying(seconds), abs=0.01)
    assert (users.patience(5) == users.patience(5)).all()


def test_the_best_threshold_gains_the_most(random):
    """A formula with a slip in it: with honest chances, no other threshold earns more."""
    chances = random.random(50_000)
    late = random.random(50_000) < chances
    all_stay = np.ones(50_000, dtype=bool)
    earned = {t: users.points(chances > t, late, all_stay).mean() for t in (0.1, 0.2, 0.3, 0.5)}
    assert max(earned, key=earned.get) == users.best_threshold() == 0.2
    for threshold, points in earned.items():
        assert points == pytest.approx(users.promised(chances, threshold), abs=0.03)
    assert users.best_threshold(helped=6, alarmed=2) == 0.25


def test_room_for_latency():
    """A better model that is given time which it has not."""
    room = users.room(1.2, 1.44)
    assert 1.44 * users.staying(room) == pytest.approx(1.2)
    assert users.room(1.2, 1.1) == 0
    with pytest.raises(ValueError, match="nothing"):
        users.room(0.0, 1.0)


# --- numbers and charts --------------------------------------------------------------------------


@pytest.fixture
def random():
    return np.random.default_rng(7)


def test_a_difference_is_welchs(random):
    """An interval that is narrower than what was seen allows."""
    a, b = random.normal(1.0, 2.0, 300), random.normal(0.5, 0.5, 200)
    found = lab.points_differ(a, b)
    assert found.value == pytest.approx(a.mean() - b.mean())
    half = 1.97 * math.sqrt(a.var(ddof=1) / 300 + b.var(ddof=1) / 200)
    assert found.high - found.value == pytest.approx(half, rel=0.02)
    assert not lab.points_differ(a[:1], b).known
    assert not lab.points_differ(a, b[:0]).known


def test_the_size_of_a_test_is_that_of_the_formula(random):
    """A plan that is off by an arm."""
    a, b = random.normal(1.0, 1.0, 20_000), random.normal(1.2, 1.0, 20_000)
    spread = (a.var() + b.var()) / 2
    expected = 2 * 2 * spread * (1.96 + 0.8416) ** 2 / (a.mean() - b.mean()) ** 2
    assert lab.travellers_needed(a, b).value == pytest.approx(expected, rel=0.01)
    same = lab.travellers_needed(a, a).value
    assert same > 100_000, "no division by a difference of nothing"
    for one, other in ((np.ones(5), np.ones(5)), (a, b[:0])):
        assert not lab.travellers_needed(one, other).known


def test_the_shadow_is_sure_soon_and_rarely_in_vain(random):
    """A shadow that sees a fault where there is none, or none where there is one."""
    assert 0 < lab.seen_at(random.random(500) < 0.02, 0.25) < 60
    vain = sum(lab.seen_at(random.random(200) < 0.25, 0.25) > 0 for _ in range(300))
    assert vain / 300 < 0.05
    assert lab.seen_at(np.array([], dtype=bool), 0.25) is None
    with pytest.raises(ValueError, match="share"):
        lab.seen_at(np.array([True]), 0.0)


def trip(random, number=60):
    return pd.DataFrame(
        {
            "intended": 1000 + np.arange(number) / 10,
            "latency": 0.005,
            "warned": random.random(number) < 0.5,
            "points": random.choice([0.0, 1.0, 5.0], number),
        }
    )


def test_phases_are_told_apart(random):
    """Travellers of the release counted as those before it."""
    parts = lab.phases(trip(random), Change("release", "candidate", 1001.95, 1003.95))
    assert [len(part) for part in parts.values()] == [20, 20, 20]
    late = lab.phases(trip(random), Change("release", "candidate", 1002, 2000))
    assert late["after"].empty and len(late["during"]) == 40
    with pytest.raises(ValueError, match="not ended"):
        lab.phases(trip(random), Change("release", "candidate", 1002, None))


def test_the_chart_of_a_release_says_what_it_shows(random):
    """A chart without its words."""
    promise = {"warned": 0.2, "points": 1.5}
    change = [Change("release", "candidate", 1002, 1004)]
    chart = lab.worth(trip(random), change, promise=promise, name="r", title="T")
    assert "release candidate at 2 s until 4 s." in chart.alt and "Promised: 20%" in chart.alt


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (np.arange(60) < 0, "0.25 s: nobody asked"),
        (np.arange(60) < 3, "0.25 s: "),
        (abs(np.arange(60) - 30) > 9, "nobody asked"),
    ],
)
def test_the_chart_of_a_release_shows_its_gaps(random, kept, said):
    """A traceback where nobody asked for a while; a curve through the time of which none knows."""
    change = [Change("release", "candidate", 1002, 1004)]
    promise = {"warned": 0.2, "points": math.nan}
    chart = lab.worth(trip(random)[kept], change, promise=promise, name="r", title="T")
    assert said in chart.alt and "nan%" not in chart.alt


def test_the_chart_of_promises_names_both_scores():
    """A promise beside what came of another model."""
    live = {"leak": auc_interval(np.array([True, False] * 50), np.arange(100.0))}
    chart = lab.promises({"leak": 0.92}, live, name="p", title="T")
    assert "leak: offline 0.920" in chart.alt
    with pytest.raises(ValueError, match="same"):
        lab.promises({"plain": 0.7}, live, name="p", title="T")


# --- the candidates ------------------------------------------------------------------------------


@pytest.fixture
def flights(random):
    """Flights that are late exactly where they left late, and of which nothing else can be told."""
    number = 1500
    columns = {
        name: random.choice(["AA", "B6"], number)
        if name in features.CODED
        else random.integers(1, 8, number).astype(float)
        for name in features.FEATURES
    }
    left = random.normal(0, 20, number).astype(np.float32)
    day = random.integers(1, 250, number).astype(np.float32)
    return candidates.Flights(columns, left > 15, random.integers(1, 10, number), day, left)


def test_candidates_are_kept_and_not_trained_again(flights, monkeypatch, tmp_path):
    """A lab that trains for half a minute each time; a card without its test."""
    trained = candidates.Trained(b"onnx", features.Codes(0.2, {}, {}, {}), {"auc": 0.9})
    runs = []

    def train(_):
        runs.append(1)
        return dict.fromkeys(candidates.WHAT, trained)

    monkeypatch.setenv("LAB_MODELS", str(tmp_path))
    monkeypatch.setattr(candidates, "_read", lambda: flights)
    monkeypatch.setattr(candidates, "_train", train)
    monkeypatch.setattr(candidates, "_recipe", lambda: "this")
    monkeypatch.setattr(subprocess_training, "train", lambda module: candidates.train())
    paths = candidates.ensure()
    assert candidates.ensure() == paths and len(runs) == 1
    assert candidates.offline(candidates.LEAK) == {"auc": 0.9}
    paths[candidates.DAYS].unlink()
    candidates.ensure()
    assert len(runs) == 2


def test_a_leak_wins_offline_and_is_worth_nothing_as_it_is_served(flights, monkeypatch):
    """A chapter whose winner loses because of a bug in the export, and not because of its leak."""
    monkeypatch.setattr(candidates, "today", lambda some: np.full(len(some.late), 0.1))
    seen, tested = flights.among(flights.month < 6), flights.among(flights.month >= 6)
    leak = candidates._fit(candidates._trees(), seen, tested, "left", candidates.NO_DELAY)
    assert leak.offline["auc"] > 0.99
    assert leak.offline["auc_low"] <= leak.offline["auc"] <= leak.offline["auc_high"]
    assert leak.offline["flights"] == len(tested.late)
    rows = features.prepare_columns(tested.columns, leak.codes)
    assert rows.shape[1] == len(features.FEATURES), "a predictor gives it what it has"
    assert auc(tested.late, scoring.scorer(leak.onnx)(rows)) == pytest.approx(0.5, abs=0.1)


def test_passengers_tell_of_what_they_were_not_warned_of(flights, monkeypatch):
    """An echo that is no echo: outcomes of those who had been warned and gone another way."""
    warned = np.arange(len(flights.late)) % 2 == 0
    monkeypatch.setattr(candidates, "today", lambda some: np.where(warned, 0.21, 0.2))
    told = candidates.suffered(flights)
    assert not told.late[warned].any()
    assert (told.late[~warned] == flights.late[~warned]).all() and told.late.any()


def test_what_is_known_afterwards_is_that_of_the_same_flight(tmp_path, monkeypatch):
    """A delay of another day's flight, or of the one that left in the same minute."""
    common = {"year": 2013, "month": 1, "sched_dep_time": 905, "carrier": "AA", "origin": "JFK"}
    rows = [(1, "LAX", 3, 4), (1, "LAX", 30, 40), (1, "BOS", 7, None), (2, "LAX", 50, 60)]
    told = pd.DataFrame(rows, columns=["day", "dest", "dep_delay", "arr_delay"]).assign(**common)
    told.to_csv(tmp_path / "flights.csv", index=False)
    monkeypatch.setattr(dataset, "files", lambda: (tmp_path / "flights.csv", None))
    table = pd.DataFrame(
        {"weekday": [2, 2, 3], "departs": 545, "carrier": "AA", "origin": "JFK"}
    ).assign(destination="LAX")
    found = candidates.with_hindsight(table)
    assert found["left"].tolist() == [3, 30, 50]
    assert found["day"].tolist() == [1, 1, 2]
    with pytest.raises(ValueError, match="1 flights"):
        candidates.with_hindsight(table.assign(destination=["LAX", "LAX", "SFO"]))


def test_a_day_after_all_days_is_any_such_day(flights):
    """A stand-in for the day that is not what the forest would say of the real one."""
    codes = features.Codes.learn(flights.columns, flights.late)
    rows = candidates._rows(flights, codes, "day")
    forest = candidates._forest().fit(rows, flights.late)
    said = []
    for day in (274.0, 365.0, candidates.LATER):
        rows[:, -1] = day
        said.append(forest.predict_proba(rows)[:, 1])
    assert said[0] == pytest.approx(said[2], abs=1e-12)
    assert said[1] == pytest.approx(said[2], abs=1e-12)
    served = scoring.scorer(candidates.knowing(candidates._exported(forest, 12), candidates.LATER))
    known = features.prepare_columns(flights.columns, codes)
    assert served(known) == pytest.approx(said[2], abs=1e-4)
