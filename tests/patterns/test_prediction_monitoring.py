"""Prediction monitoring: what is counted, compared and remembered."""

import asyncio
import importlib
import json
import math

import numpy as np
import pytest
import yaml
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisGone
from starlette.testclient import TestClient

from lab_services.models import build
from lab_services.models.features import EXAMPLE, FEATURES
from lab_services.patterns.operation.prediction_monitoring import drift
from lab_services.stack.catalogue import compose_path

RANDOM = np.random.default_rng(0)


# --- drift ----------------------------------------------------------------------------------------


def reference(**columns):
    return drift.Reference({name: np.asarray(values) for name, values in columns.items()})


def test_every_value_falls_into_a_bin():
    """A value that the reference did not hold, and that is not counted at all."""
    usual = reference(wind=np.arange(100.0), origin=["JFK"] * 60 + ["EWR"] * 40)
    assert usual.count("wind", [-1e9, 0.0, 50.0, 1e9]).sum() == 4
    assert usual.count("origin", ["JFK", "XXX", "EWR"]).sum() == 3
    assert usual.places("origin", ["XXX", "AAA", "ZZZ"]).tolist() == [usual.bins("origin") - 1] * 3


def test_texts_are_told_apart():
    """Two airports in one bin: one of them could vanish unseen."""
    usual = reference(origin=["JFK"] * 60 + ["EWR"] * 40)
    assert len(set(usual.places("origin", ["JFK", "EWR", "LGA"]).tolist())) == 3


def test_a_column_of_mostly_one_value_still_has_two_bins():
    """Visibility is 10 miles nearly always: in one bin nothing could ever be seen of it."""
    usual = reference(visibility=[10.0] * 98 + [3.0, 1.0])
    assert usual.bins("visibility") == 2
    moved = usual.count("visibility", np.zeros(50))
    assert drift.psi(usual.counts["visibility"], moved) > 0.25


def test_a_constant_column_has_one_bin():
    """A cut through a constant, beyond which lies an empty bin for ever."""
    usual = reference(rain=np.zeros(50))
    assert usual.bins("rain") == 1
    assert usual.count("rain", [0.0, 5.0]).tolist() == [2.0]


def test_psi_is_zero_for_the_same_shares_and_grows_with_the_distance():
    """An index that has a sign, or that depends on how many there are."""
    counts = np.array([100.0, 200.0, 700.0])
    assert drift.psi(counts, counts) == 0
    near, far = drift.psi(counts, np.array([[150, 200, 650], [700, 200, 100]]).astype(float))
    assert 0 < near < 0.25 < far
    # By hand, without the half that is added: two bins, 50 % each, against 20 % and 80 %.
    large = drift.psi(np.array([5e6, 5e6]), np.array([2e6, 8e6]))
    assert large == pytest.approx(0.3 * math.log(2.5) + 0.3 * math.log(1.6), rel=1e-4)


def test_psi_of_an_empty_bin_is_finite():
    """The logarithm of nothing."""
    assert math.isfinite(drift.psi(np.array([10.0, 0.0]), np.array([0.0, 10.0])))


@pytest.mark.parametrize(
    ("inputs", "share"), [([], 0.0), (["a", "b"], 0.0), (["a", "a", "a", "b"], 0.5)]
)
def test_repeated_share(inputs, share):
    """The first of its kind counted as a copy."""
    assert drift.repeated_share(inputs) == share


# --- the services ---------------------------------------------------------------------------------


class Log:
    """What the predictor and the monitor need of Redis."""

    def __init__(self, gone=False):
        self.lines, self.gone = [], gone
        self.batch = []

    def pipeline(self, transaction):
        self.batch = []
        return self

    def xadd(self, stream, fields, **options):
        self.batch.append(fields)

    async def execute(self):
        if self.gone:
            raise RedisGone("gone")
        for fields in self.batch:
            raw = {
                k.encode(): v if isinstance(v, bytes) else str(v).encode()
                for k, v in fields.items()
            }
            self.lines.append((f"{len(self.lines) * 10 + 1_000_000}-0".encode(), raw))

    async def xread(self, streams):
        after = int(next(iter(streams.values())).split("-")[0])
        new = [line for line in self.lines if int(line[0].split(b"-")[0]) > after]
        return [[b"predictions", new]] if new else None


@pytest.fixture
def predictor(monkeypatch):
    monkeypatch.setenv("MODEL", str(build.ensure("good")["good"]))
    monkeypatch.setenv("LOG_URL", "redis://127.0.0.1:1")  # nobody is there
    from lab_services.patterns.operation.prediction_monitoring import app

    return importlib.reload(app)


def test_the_predictor_answers_without_its_log(predictor):
    """A log that is away and takes the predictions with it."""
    with TestClient(predictor.app) as client:
        answer = client.post("/predict", json=EXAMPLE)
        assert answer.status_code == 200
        assert 0 <= answer.json()["probability"] <= 1
        assert 'predictions_total{late="' in client.get("/metrics").text


def test_null_is_refused(predictor):
    """The premise of the lab: the API itself is no place for a silent null."""
    with TestClient(predictor.app) as client:
        assert client.post("/predict", json=EXAMPLE | {"visibility": None}).status_code == 422


def test_what_is_written_leaves_the_queue_once(predictor):
    """A prediction that is logged twice, or lost because the log was away for a moment."""
    for at in range(3):
        predictor.predictions.add({"flight": b"{}", "probability": at / 10})
    predictor.redis = Log(gone=True)
    asyncio.run(predictor.predictions.flush())
    assert len(predictor.predictions) == 3
    predictor.redis = log = Log()
    asyncio.run(predictor.predictions.flush())
    asyncio.run(predictor.predictions.flush())
    assert len(log.lines) == 3
    assert not len(predictor.predictions)


@pytest.fixture
def watching(monkeypatch):
    """A monitor that has learnt what is usual, and the value of one of its gauges."""
    from lab_services.patterns.operation.prediction_monitoring import monitor as module

    registry = CollectorRegistry()
    monitor = module.Monitor(registry)
    columns = {
        name: np.array([value] * 400)
        if isinstance(value, str)
        else np.random.default_rng(1).uniform(value * 0.5, value * 1.5 + 0.1, 400)
        for name, value in EXAMPLE.items()
    }
    monitor.learn({**columns, "probability": np.linspace(0, 1, 400)})

    def feed(count, now=1000.0, **changes):
        random = np.random.default_rng(2)
        for _ in range(count):
            place = random.integers(400)
            flight = {name: columns[name][place].item() for name in FEATURES} | changes
            raw = json.dumps(flight).encode()
            monitor.window.append(module.Prediction(now, raw, flight, place / 400))
        monitor.look(now)

    def told(name, **labels):
        return registry.get_sample_value(name, labels)

    return monitor, feed, told


def test_the_monitor_is_calm_while_nothing_changes(watching):
    """An index that is high by itself."""
    _, feed, told = watching
    feed(300)
    assert max(told("drift_psi", column=name) for name in FEATURES) < 0.25
    assert told("drift_ks", column="wind") < 0.1
    assert told("window_predictions") == 300
    assert told("late_share") == pytest.approx(told("late_share_reference"), abs=0.1)


def test_the_monitor_sees_zeros_and_repeats(watching):
    """A fault that leaves every gauge where it was."""
    monitor, feed, told = watching
    feed(300, visibility=0.0)
    assert told("drift_psi", column="visibility") > 0.25
    assert told("zero_share", column="visibility") == 1
    assert told("zero_share_reference", column="visibility") == 0
    assert told("drift_psi", column="wind") < 0.25
    monitor.window.extend([monitor.window[-1]] * 700)
    monitor.look(1000.0)
    assert told("repeated_share") > 0.6


def test_too_few_predictions_say_nothing(watching):
    """An alarm over three flights in the night."""
    _, feed, told = watching
    feed(10, visibility=0.0)
    assert told("drift_psi", column="visibility") is None
    assert told("window_predictions") == 10


def test_the_monitor_reads_each_line_once_and_lets_old_ones_go(watching):
    """A window that holds a line twice, or that never forgets."""
    monitor, _, _ = watching
    log = Log()
    log.batch = [{"flight": json.dumps(EXAMPLE).encode(), "probability": 0.4}] * 5
    asyncio.run(log.execute())
    now = 1000.1  # the lines are of 1000.00 to 1000.04 s
    asyncio.run(monitor.read(log, now))
    asyncio.run(monitor.read(log, now))
    assert [round(line.at, 2) for line in monitor.window] == [
        1000.0,
        1000.01,
        1000.02,
        1000.03,
        1000.04,
    ]
    asyncio.run(monitor.read(log, now + 60))
    assert not monitor.window


def test_rules_watch_what_is_told(watching):
    """A rule over a number that nobody tells: it would be silent for ever."""
    folder = compose_path("operation/prediction-monitoring").parent
    groups = yaml.safe_load((folder / "rules.yml").read_text())["groups"]
    assert [group["name"] for group in groups] == ["operation", "input", "prediction", "monitor"]
    _, feed, told = watching
    feed(200)
    text = " ".join(rule["expr"] for group in groups for rule in group["rules"])
    for name in ("late_share", "late_share_reference", "repeated_share", "monitor_looked_at"):
        assert name in text
        assert told(name) is not None
    for name in ("drift_psi", "zero_share", "zero_share_reference"):
        assert name in text
        assert told(name, column="wind") is not None
