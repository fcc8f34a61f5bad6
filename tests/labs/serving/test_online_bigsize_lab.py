"""Helpers of the lab `serving/online-bigsize`: what it reads off, and the theory."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from redis import Redis

from lab_services import report
from lab_services.errors import LabError
from lab_services.labs.serving.online_bigsize import forests, lab
from lab_services.models import build, store
from lab_services.models.features import FEATURES
from lab_services.models.scoring import scorer
from lab_services.report.stats import Interval
from lab_services.stack import Stack
from lab_services.traffic import Schedule, poisson
from lab_services.traffic.recording import Recording


def recorded(latencies, schedule: Schedule | None = None) -> Recording:
    import pandas as pd

    schedule = schedule or poisson(len(latencies), 1)
    at = 1000 + schedule.offsets[: len(latencies)]
    table = pd.DataFrame(
        {"intended": at, "started": at, "latency": latencies[: len(at)], "ok": True}
    )
    return Recording(table.assign(warmup=False), begin=1000.0, seconds=schedule.seconds)


# --- forests -------------------------------------------------------------------------------------


def fitted(trees=12, flights=3000):
    from sklearn.ensemble import RandomForestClassifier

    random = np.random.default_rng(0)
    rows = random.normal(size=(flights, len(FEATURES))).astype(np.float32)
    late = rows[:, 0] + random.normal(size=flights) > 0
    return rows, RandomForestClassifier(trees, min_samples_leaf=5, random_state=0).fit(rows, late)


def test_a_forest_written_as_onnx_says_what_its_trees_say():
    """A mistake in a group's numbering, or a threshold rounded to the other side."""
    rows, forest = fitted()  # more trees than a group holds
    said = scorer(forests.onnx_of(forest.estimators_, rows.shape[1]))(rows)
    assert np.abs(said - forest.predict_proba(rows)[:, 1]).max() < forests.TOLERANCE
    first = forests.onnx_of(forest.estimators_[:3], rows.shape[1])
    with pytest.raises(LabError, match="differs"):
        forests._check(first, forest.estimators_, rows)


def test_a_tree_that_asks_nothing_is_refused():
    """A file that onnxruntime does not read."""
    from sklearn.tree import DecisionTreeClassifier

    stump = DecisionTreeClassifier(max_depth=1).fit([[0.0], [1.0]], [0, 1])
    leaf = DecisionTreeClassifier().fit([[0.0], [0.0]], [0, 1])
    assert forests.onnx_of([stump], 1)
    with pytest.raises(LabError, match="without a question"):
        forests.onnx_of([leaf], 1)


def test_a_split_rounded_down_divides_numbers_of_32_bit_as_before():
    """A flight on the threshold itself that goes right instead of left."""
    thresholds = np.random.default_rng(1).normal(size=1000)
    down = forests._down(thresholds)
    assert down.dtype == np.float32
    for near in (thresholds.astype(np.float32), down, np.nextafter(down, np.float32(9))):
        assert ((near <= thresholds) == (near <= down)).all()


def test_forests_are_trained_where_one_is_missing_or_old(tmp_path, monkeypatch):
    """A forest of an older recipe that is served for ever, or a failed training taken for one."""
    build.ensure("good")
    good = store.model_path("good")
    for name in (good.name, good.with_suffix(".json").name):
        (tmp_path / name).write_bytes((good.parent / name).read_bytes())
    monkeypatch.setenv("LAB_MODELS", str(tmp_path))
    asked = []

    class Ended:
        returncode, stderr = 1, "no memory"

    def run(command, **options):
        asked.append(command)
        return Ended

    monkeypatch.setattr(forests.subprocess_training.subprocess, "run", run)
    with pytest.raises(LabError, match="no memory"):
        forests.ensure()
    assert asked
    asked.clear()
    recipe = forests._recipe()
    for trees in forests.SIZES:
        path = store.model_path(forests.name_of(trees))
        path.write_bytes(b"a forest")
        card = {"sha256": store.sha256(path), "recipe": recipe}
        path.with_suffix(".json").write_text(json.dumps(card))
    assert len(forests.ensure()) == len(forests.SIZES)
    assert not asked
    path.write_bytes(b"another")
    with pytest.raises(LabError):
        forests.ensure()


def test_models_are_asked_of_the_same_flights_as_the_outcomes():
    """Chances of some flights beside the outcomes of others: guessing, then."""
    build.ensure("rough")
    late, said = forests._said_by(["rough"], 4000)
    assert late.shape == said["rough"].shape == (4000,)
    assert report.auc(late, said["rough"]) > 0.6


# --- numbers -------------------------------------------------------------------------------------


def test_loads_are_read_out_of_the_logs():
    """The line of another service's start, or a line that is no JSON."""
    logs = 'x {"message": "model loaded", "seconds": 0.7}\nUvicorn\n{"message": "ready"}\n'
    assert lab.load_time(logs) == Interval.exact(0.7, "s")
    assert lab.load_time(logs + logs.replace("0.7", "0.8")).value == 0.8
    assert not lab.load_time("Uvicorn\n").known


def test_what_was_measured_more_often_is_compared_as_often_as_the_other():
    """A run that ends in a traceback where one of two was measured once more."""
    found = lab.times([6.0, 8.0], [3.0, 4.0, 9.0])
    assert (found.value, found.n) == (pytest.approx(2), 2)
    assert not lab.times([6.0], [3.0, 4.0]).known


def test_one_worker_serves_one_after_another():
    """Latencies of the forest itself in the place of those that theory expects."""
    recording = recorded([0.5, 0.5], Schedule(np.array([0.0, 0.2]), 1.0, "two"))
    alone = lab.expected(recording, 0.3)
    assert alone.table["latency"].to_numpy() == pytest.approx([0.3, 0.4])


def test_results_are_timed_from_when_they_were_asked_for():
    """Tickets' latencies shown as those of results."""
    tickets = recorded([0.01] * 30)
    done = lab.completed(tickets, tickets.table["intended"].to_numpy() + 2)
    assert done.table["latency"].to_numpy() == pytest.approx(2)
    assert tickets.table["latency"].to_numpy() == pytest.approx(0.01)


class Queue:
    """A stack whose queue is this one, with a front that takes every night."""

    def __init__(self, url):
        self._url = url

    redis = Stack.redis

    def address(self, service, **_):
        return self._url.removeprefix("redis://")

    def url(self, service, path):
        return path


@pytest.mark.parametrize(("answers", "window"), [(["a", "b"], True), (["a"], False), ([], False)])
def test_answers_that_never_come_are_unknown(redis_server, monkeypatch, answers, window):
    """A lab that ends in a traceback, or a night that is over before its last answer."""
    monkeypatch.setattr(lab.loopback, "post", lambda *_, **__: SimpleNamespace(
        raise_for_status=lambda: None
    ))  # fmt: skip
    stack, finished = Queue(redis_server), time.time() + 2
    with Redis.from_url(redis_server) as client:
        client.flushall()
        for ident in answers:
            client.hset("answers", ident, json.dumps({"finished": finished}))
    done = lab.finished(stack, ["a", "b"], patience=0.1)
    assert np.isnan(done).sum() == 2 - len(answers)
    monkeypatch.setattr(lab, "finished", lambda *_: done)
    took = lab.window(lab.night(stack, [{"id": "a"}, {"id": "b"}]))
    assert took.known == window
    if not window:
        assert f"{2 - len(answers)} of 2 answers are missing" in took.note


def test_a_question_without_an_answer_is_no_fast_one():
    """A result that counts as correct, or as one that waits no longer."""
    tickets = recorded([0.01] * 30)
    done = tickets.table["intended"].to_numpy() + 2
    done[3] = np.nan
    results = lab.completed(tickets, done)
    assert report.error_share(results).value == pytest.approx(1 / len(results))
    assert report.P50(results).value == pytest.approx(2)
    assert report.in_flight(results, np.array([2000.0])) == [1]


# --- charts --------------------------------------------------------------------------------------


def test_the_charts_show_every_model_and_every_line():
    """A model without its name, or a deadline that nobody sees."""
    point = Interval(0.01, 0.009, 0.011, 50, "s"), Interval(0.7, 0.69, 0.71, 1000)
    chart = lab.front(
        {"good": point, "forest-10": point}, deadlines={"page": 0.02}, name="front", title="Front"
    )
    assert "forest-10" in chart.alt
    with pytest.raises(ValueError, match="no model"):
        lab.front({}, deadlines={"page": 0.02}, name="front", title="Front")
    unknown = Interval.unknown("10 requests, p50 latency needs 20", "s"), point[1]
    open_end = Interval(0.01, 0.009, np.inf, 20, "s"), point[1]
    chart = lab.front(
        {"good": unknown, "forest-10": open_end},
        deadlines={"page": np.nan},
        name="front",
        title="Front",
    )
    assert "Not known: good: 10 requests, p50 latency needs 20. Not known: page." in chart.alt
    assert lab.front({"good": unknown}, deadlines={}, name="front", title="Front")
