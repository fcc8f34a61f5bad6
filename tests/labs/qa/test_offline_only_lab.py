"""Helpers of the lab `qa/offline-only`: what it reads off, and the theory."""

import importlib
import math
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psycopg
import pytest
from starlette.testclient import TestClient

from lab_services.labs.qa.offline_only import candidates, lab, users
from lab_services.models import dataset, features, scoring, subprocess_training
from lab_services.report import Change
from lab_services.report.ranking import auc, auc_interval
from tests.patterns.fake_service import Answer, fake_service

SAID = {
    "today": {"probability": 0.3, "late": True},
    "candidate": {"probability": 0.05, "late": False},
}


# --- the gate ------------------------------------------------------------------------------------


@pytest.fixture
def models():
    """What stands behind the gate: fails where a flight says so, and may be held up."""
    free = threading.Event()
    free.set()

    def answer(asked):
        model = asked.headers["x-model"]
        if model == "candidate":
            assert free.wait(10)
        if model in asked.json.get("fails", ()):
            return Answer(b"no", 503)
        return Answer(SAID[model])

    with fake_service(answer) as service:
        yield SimpleNamespace(url=f"{service.url}/predict", asked=service.asked, free=free)
        free.set()


@pytest.fixture
def log(postgres_server):
    """A connection to the log, which is empty."""
    with psycopg.connect(postgres_server, autocommit=True) as database:
        database.execute("DROP TABLE IF EXISTS answers, travellers")
        yield database


@pytest.fixture
def module(models, log, postgres_server, monkeypatch):
    """The gate's module, started anew."""
    monkeypatch.setenv("PREDICT_URL", models.url)
    monkeypatch.setenv("DATABASE_URL", postgres_server)
    return importlib.reload(importlib.import_module("lab_services.patterns.qa.offline_only.gate"))


@pytest.fixture
def gate(module):
    with TestClient(module.app) as client:
        yield client


def release(client, share, shadow=False, test="t"):
    wanted = {"test": test, "share": share, "shadow": shadow}
    assert client.post("/release", json=wanted).status_code == 200


def ask(client, user, **flight):
    return client.post("/predict", json=flight, headers={"x-user": user, "x-request-id": user})


def rows(log, number, shadow=False):
    return lab.logged(log, "t", number, shadow=shadow).set_index("request")


@pytest.mark.parametrize(("share", "model"), [(0, "today"), (1, "candidate")])
def test_a_release_reaches_everybody_and_is_taken_back(gate, log, share, model):
    """A way back that leaves somebody with the candidate; an answer that is in no log."""
    release(gate, share)
    for number in range(10):
        answer = ask(gate, f"u{number}")
        assert (answer.status_code, answer.json()) == (200, SAID[model])
    written = rows(log, 10)
    assert set(written["model"]) == {model}
    assert set(written["warned"]) == {SAID[model]["late"]}
    assert set(written["probability"]) == {SAID[model]["probability"]}
    assert (written["seconds"] > 0).all()


def test_half_of_the_travellers_are_half(gate, log):
    """An arm that is drawn anew for each request."""
    release(gate, 0.5)
    for _ in range(2):
        for number in range(40):
            ask(gate, f"u{number}")
    models_met = lab.logged(log, "t", 80).groupby("request")["model"].nunique()
    assert set(models_met) == {1}
    assert 8 < (rows(log, 80)["model"] == "candidate").sum() / 2 < 32


def test_nobody_waits_for_a_shadow(gate, models, log):
    """A traveller who waits for, or sees, an answer that is for the log alone."""
    release(gate, 0, shadow=True)
    models.free.clear()
    assert ask(gate, "u1").json() == SAID["today"], "while the candidate hangs"
    models.free.set()
    assert rows(log, 1).loc["u1", "model"] == "today"
    assert rows(log, 1, shadow=True).loc["u1", "model"] == "candidate"


def test_who_sees_the_candidate_is_not_shadowed(gate, models, log):
    """The candidate asked twice for the same traveller."""
    release(gate, 1, shadow=True)
    ask(gate, "u1")
    assert rows(log, 1).loc["u1", "model"] == "candidate"
    assert len(models.asked) == 1


def test_a_failure_is_a_row(gate, log):
    """A candidate that looks good because its failures are nowhere; one that fails people."""
    release(gate, 0, shadow=True)
    assert ask(gate, "u1", fails=["candidate"]).status_code == 200
    assert rows(log, 1, shadow=True).loc["u1", "warned"] is None
    assert ask(gate, "u2", fails=["today"]).status_code == 503
    assert rows(log, 2).loc["u2", "warned"] is None


def test_a_log_that_was_away_gets_every_answer(gate, log):
    """A restart of PostgreSQL, after which a gate never writes again."""
    release(gate, 0)
    ask(gate, "u1")
    assert len(rows(log, 1)) == 1
    log.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"""
    )
    ask(gate, "u2")
    assert len(rows(log, 2)) == 2
    assert gate.get("/ready").status_code == 200


# --- the log -------------------------------------------------------------------------------------


def test_the_log_tells_points_as_the_rules_do(gate, log):
    """A query of other rules than those of the travellers."""
    for better in lab.made_up(log).items():
        assert lab.per_model(log, better[0])["points"].idxmax() == better[1]
    lab.made_up(log)
    found = lab.per_model(log, "made-up-slow")
    assert found.loc["candidate"].to_dict() == {
        "travellers": 10,
        "warned": 1.0,
        "gone": 0.9,
        "points": 0.5,
    }, "and a second time changes nothing"


def test_travellers_are_written_down(gate, log):
    """Outcomes that cannot be joined."""
    table = pd.DataFrame({"request": ["u1", "u2"], "stayed": [True, False], "late": [False, True]})
    lab.tell(log, table)
    kept = log.execute("SELECT * FROM travellers ORDER BY request").fetchall()
    assert kept == [("u1", True, False), ("u2", False, True)]


def test_answers_that_do_not_come_are_not_waited_for(gate, log, monkeypatch):
    """A lab that waits for ever for a row that is lost, or ends because of it."""
    monkeypatch.setattr(lab, "_PATIENCE", 0.01)
    answers = lab.logged(log, "t", 3)
    assert answers.empty
    asked = pd.DataFrame(
        {"request": ["t-0", "t-1"], "intended": [1.0, 2.0], "latency": 0.0, "ok": [True, False]}
    )
    table = lab.behaved(asked, answers, [True, True])
    assert table["request"].tolist() == ["t-1"], "of whom the log should know is left out"
    assert table.loc[0, ["stayed", "warned", "points"]].tolist() == [False, False, 0]


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
    assert "release from 2 s" in chart.alt and "Promised: 20%" in chart.alt


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


def test_the_farthest_point():
    """A curve that is praised because nothing was compared with it."""
    points = {1.0: lab.mean_points(np.array([1.0, 1.2])), 2.0: lab.mean_points([2.5])}
    assert lab.farthest(points, lambda x: x) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="Nothing"):
        lab.farthest({}, lambda x: x)
    for order in ((3.0, 1.0), (1.0, 3.0)):  # wherever it stands, it may be the farthest
        some = {at: points.get(at, lab.mean_points(np.array([]))) for at in order}
        assert math.isnan(lab.farthest(some, lambda x: x))


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


def test_a_leak_wins_offline_and_is_worth_nothing_as_it_is_served(flights, monkeypatch):
    """A chapter whose winner loses because of a bug in the export, and not because of its leak."""
    monkeypatch.setattr(candidates, "today", lambda some: np.full(len(some.late), 0.1))
    seen, tested = flights.among(flights.month < 6), flights.among(flights.month >= 6)
    leak = candidates._fit(candidates._trees(), seen, tested, "left", candidates.NO_DELAY)
    assert leak.offline["auc"] > 0.99
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
