"""One process with several models: what it answers and keeps; and the sums of the lab."""

import importlib
import time
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from lab_services import report
from lab_services.errors import LabError
from lab_services.labs.serving import all_in_one as lab
from lab_services.models import build, store
from lab_services.models.features import EXAMPLE, FEATURES
from lab_services.services.predictor import Model

APP = "lab_services.patterns.serving.all_in_one.app"


# --- the service ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def built():
    build.ensure()


@pytest.fixture
def service(monkeypatch):
    """Starts the service with these models and settings."""

    @contextmanager
    def start(models, **environment):
        good, rough = store.model_path("good"), store.model_path("rough")
        text = " ".join(f"{name}={rough if name == 'reasons' else good}" for name in models)
        settings = {"MODELS": text, "SAMPLES": "50", "OTHERS": "20", **environment}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        module = importlib.reload(importlib.import_module(APP))
        with TestClient(module.app) as client:
            yield SimpleNamespace(client=client, module=module)

    # The module reads its settings when it is imported.
    monkeypatch.setenv("MODELS", f"board={store.model_path('good')}")
    return start


def test_one_process_answers_for_all_its_models(service):
    """A model that moved in and cannot be asked."""
    with service(["board", "advice", "reasons", "fourth"]) as running:
        answers = {
            name: running.client.post(f"/{name}", json=EXAMPLE).json()
            for name in ("board", "advice", "reasons", "fourth")
        }
    assert answers["board"] == answers["fourth"]
    assert answers["advice"].keys() == {"probability", "late"}
    # The mean over samples around the forecast is near what the forecast itself gives.
    assert abs(answers["advice"]["probability"] - answers["board"]["probability"]) < 0.2
    assert tuple(answers["reasons"]) == FEATURES


def test_a_service_of_one_model_knows_no_other(service):
    """A service apart that still carries its neighbours."""
    with service(["board"]) as running:
        assert running.client.post("/board", json=EXAMPLE).status_code == 200
        assert running.client.post("/advice", json=EXAMPLE).status_code == 404


def test_what_is_no_flight_is_refused_by_each_model(service):
    """A model that is asked by another way than the others, and takes anything."""
    with service(["board", "reasons"]) as running:
        for name in ("board", "reasons"):
            answer = running.client.post(f"/{name}", json={**EXAMPLE, "wind": -1})
            assert answer.status_code == 422, name
            assert "wind" in answer.text


def test_a_field_that_all_flights_share_moves_nothing(service):
    """An explanation that compares with the wrong column."""
    with service(["board"]) as running:
        model = Model(str(store.model_path("rough")))
        model.load()
        others = np.repeat(model.prepare([EXAMPLE]), 7, axis=0)
        rows, moves = running.module.explain(model, EXAMPLE, others)
        assert rows.shape == (len(FEATURES), 7, len(FEATURES))
        assert all(move == pytest.approx(0, abs=1e-5) for move in moves.values())
        wind = FEATURES.index("wind")
        others[:, wind] += 40
        rows, moves = running.module.explain(model, EXAMPLE, others)
    assert {name for name, move in moves.items() if abs(move) > 1e-5} == {"wind"}
    assert (rows[wind, :, wind] > rows[0, :, wind]).all()


@pytest.mark.parametrize(("keep", "left"), [("0", 30), ("4", 4)])
def test_the_leak_and_its_repair(service, monkeypatch, keep, left):
    """A leak that is none, so that the lab shows nothing; a repair that repairs nothing."""
    made = []
    with service(["board"], KEEP=keep) as running:
        model = Model(str(store.model_path("rough")))
        model.load()
        explained = running.module.reasons(model)
        kept = explained.__closure__[explained.__code__.co_freevars.index("kept")].cell_contents
        for wind in range(30):
            flight = {**EXAMPLE, "wind": float(wind)}
            made.append(_run(explained(flight)))
        assert len(kept) == left
        again = _run(explained({**EXAMPLE, "wind": 29.0}))
        bytes_of_one = next(iter(kept.values()))[0].nbytes
    assert again is made[-1]  # the cache works for who asks the same again
    assert bytes_of_one == lab.explanation_bytes(others=20)


def _run(coroutine):
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    return ended.value.value


# --- the platform --------------------------------------------------------------------------------


class Standing:
    """A stack of two services that the test lets die."""

    def __init__(self):
        self.down, self.started, self.released = set(), [], []

    def states(self):
        return [
            SimpleNamespace(service=name, state="exited" if name in self.down else "ready")
            for name in ("one", "reasons", "board")
        ]

    def stats(self, seconds):
        index = pd.MultiIndex.from_tuples([("one", 1), ("one", 2)], names=["service", "replica"])
        return pd.DataFrame({"memory_mb": [30.0, 12.0]}, index=index)

    def start(self, service):
        self.started.append(service)
        self.down.discard(service)

    def rollout(self, service, environment):
        self.down.add(service)
        time.sleep(0.15)
        self.released.append((service, environment))
        self.down.discard(service)


def test_the_platform_starts_what_has_died():
    """An outage without an end, or a service started twice."""
    stack = Standing()
    with lab.Platform(stack, ["one", "reasons"], pause=0.1) as platform:
        stack.down = {"one", "reasons", "board"}  # the board is nobody's business here
        platform.recover(seconds=5)
    assert sorted(stack.started) == ["one", "reasons"]
    assert 0.1 <= platform.first("one").end - platform.first("one").start < 2


def test_a_death_that_nobody_has_seen_has_no_time():
    """A traceback on a machine that is too slow for the leak."""
    platform = lab.Platform(Standing(), ["one", "reasons"], pause=0)
    assert np.isnan([platform.first("one").start, platform.first("one").end]).all()
    assert platform.down(until=np.inf) == []
    platform.deaths = [
        report.Change("out of memory:", "one", 3.0, 5.0),
        report.Change("out of memory:", "reasons", 4.0, None),
    ]
    (down,) = platform.down(until=3.5)
    assert (down.start, down.end) == (3.0, 5.0)
    (down,) = platform.down(until=np.inf)
    assert (down.start, down.end) == (3.0, None)
    assert platform.first("reasons").start == 4.0
    assert np.isnan(platform.first("reasons").end)


def test_a_release_is_no_death():
    """A service that is started by the platform while it is being rolled out."""
    stack = Standing()
    with lab.Platform(stack, ["one", "reasons"], pause=0) as platform:
        begin, end = platform.release({"KEEP": "16"})
    assert sorted(stack.released) == [("one", {"KEEP": "16"}), ("reasons", {"KEEP": "16"})]
    assert end - begin < 0.3  # both at once
    assert not platform.deaths


def test_the_platform_gives_up():
    """A lab that waits for ever for a service that does not die, or ends in a traceback."""
    began = time.monotonic()
    with lab.Platform(Standing(), ["one"], pause=0) as platform:
        platform.recover(seconds=0.1)
    assert not platform.deaths
    assert 0.1 <= time.monotonic() - began < 5


def test_memory_is_told_by_seconds():
    """Samples of another time, or of another service."""
    with lab.Platform(Standing(), [], pause=0) as platform:
        begin = time.time()
        time.sleep(0.5)
    seen = platform.memory("one", begin, begin + 60)
    assert set(seen.values()) == {42e6}
    assert all(0 <= at < 5 for at in seen)
    assert platform.memory("board", begin, begin + 60) == {}
    assert platform.memory("one", begin - 60, begin) == {}


def test_a_platform_tells_of_what_went_wrong_in_it():
    """A thread that dies without a word."""

    class Broken(Standing):
        def start(self, service):
            raise LabError("It does not start.")

    stack = Broken()
    with (
        pytest.raises(LabError, match="does not start"),
        lab.Platform(stack, ["one"], pause=0),
    ):
        stack.down = {"one"}
        time.sleep(0.3)
