"""The chain against stages that the test makes ill, the stages alone, and the lab's sums."""

import contextlib
import itertools
import runpy
import time

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from lab_services.labs.serving import microservice_vertical as lab
from lab_services.models import build
from lab_services.models.features import EXAMPLE
from lab_services.models.scoring import predict_proba
from lab_services.patterns.serving.microservice_vertical.messages import STAGES
from lab_services.patterns.serving.microservice_vertical.mixing import mixed
from tests.patterns.fake_service import Answer, fake_service

CHAIN = "lab_services.patterns.serving.microservice_vertical.app"
STAGE = "lab_services.patterns.serving.microservice_vertical.stages"


# --- the chain -----------------------------------------------------------------------------------


class Stages:
    """All three stages on one port, each as ill as the test wants it."""

    def __init__(self):
        self.chances = {"screen": 0.2, "forecast": 0.4, "advice": 0.1}
        self.status = dict.fromkeys(STAGES, 200)
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.says = dict.fromkeys(STAGES, 0.001)

    def __call__(self, asked):
        stage = of(asked)
        time.sleep(self.seconds[stage])
        said = {"probability": self.chances[stage], "departs": 600, "seconds": self.says[stage]}
        return Answer(said, self.status[stage])

    @property
    def order(self):
        return [of(asked) for asked in self.asked]  # type: ignore[attr-defined]


def of(asked):
    """Which stage was asked."""
    return asked.path.split("/")[1]


@pytest.fixture
def stages():
    made = Stages()
    with fake_service(made) as service:
        made.url, made.asked = service.url, service.asked  # type: ignore[attr-defined]
        yield made


@pytest.fixture
def chain(stages, monkeypatch):
    for stage in STAGES:
        monkeypatch.setenv(f"{stage.upper()}_URL", f"{stages.url}/{stage}")
    with TestClient(runpy.run_module(CHAIN)["app"]) as client:
        yield client


def ask(chain, query="", **headers):
    return chain.post(f"/predict?{query}", json=EXAMPLE, headers=headers)


def test_each_stage_is_given_the_answer_of_the_one_before(chain, stages):
    """Stages that are called in another order, or that do not depend on one another."""
    answer = ask(chain, "samples=7")
    assert (answer.status_code, answer.json()["probability"]) == (200, 0.1)
    assert stages.order == list(STAGES)
    assert [asked.json.get("probability") for asked in stages.asked] == [None, 0.2, 0.4]
    for asked in stages.asked:
        assert (asked.json["flight"], asked.json["samples"]) == (EXAMPLE, 7)


@pytest.mark.parametrize(("sure", "asked"), [(0.21, 1), (0.2, 3), (0.0, 3)])
def test_a_screen_that_is_sure_ends_the_chain(chain, stages, sure, asked):
    """An early exit that does not spare the later stages, or one that nobody asked for."""
    answer = ask(chain, f"sure={sure}")
    assert answer.status_code == 200
    assert len(stages.asked) == asked


@pytest.mark.parametrize(
    ("stage", "partial", "status"),
    [
        *((stage, 0, 503) for stage in STAGES),
        ("screen", 1, 503),
        ("forecast", 1, 203),
        ("advice", 1, 203),
    ],
)
def test_a_failing_stage_ends_the_chain(chain, stages, stage, partial, status):
    """A failure that looks like a whole answer, or an answer where there is none to give."""
    stages.status[stage] = 503
    answer = ask(chain, f"partial={partial}")
    assert answer.status_code == status
    assert stages.order == list(STAGES)[: STAGES.index(stage) + 1]
    if status == 203:
        assert answer.json()["probability"] == stages.chances[STAGES[STAGES.index(stage) - 1]]
    else:
        assert stage in answer.json()["detail"]


@pytest.mark.alone
def test_the_deadline_shrinks_from_stage_to_stage(chain, stages):
    """Stages that are told the caller's time and not what is left of it."""
    stages.seconds = dict.fromkeys(STAGES, 0.05)
    assert ask(chain, "ahead=0", **{"x-deadline": "1"}).status_code == 200
    waits = [float(asked.headers["x-may-wait"]) for asked in stages.asked]
    assert 0.9 < waits[0] <= 1
    assert all(0.04 < before - after < 0.2 for before, after in itertools.pairwise(waits))


@pytest.mark.alone
def test_looking_ahead_leaves_out_the_work_of_the_stages_to_come(chain, stages):
    """A stage that may use up the time of those behind it."""
    stages.says = dict.fromkeys(STAGES, 0.3)
    ask(chain)  # the chain learns: a tenth of 0.3 s for each stage
    stages.asked.clear()
    ask(chain, **{"x-deadline": "1"})
    waits = [float(asked.headers["x-may-wait"]) for asked in stages.asked]
    assert waits[0] == pytest.approx(1 - 1.5 * 0.09, abs=0.03)
    assert waits[2] > waits[0]


@pytest.mark.alone
def test_a_stage_that_cannot_be_in_time_is_not_asked(chain, stages):
    """Work behind a slow stage for a caller who has left."""
    stages.seconds["forecast"] = 0.5
    began = time.monotonic()
    assert ask(chain, **{"x-deadline": "0.1"}).status_code == 503
    assert time.monotonic() - began < 0.4
    assert stages.order == ["screen", "forecast"]
    assert ask(chain, "partial=1", **{"x-deadline": "0.1"}).status_code == 203


def test_without_a_deadline_the_chain_waits(chain, stages):
    """A limit that nobody asked for."""
    stages.seconds["forecast"] = 0.2
    assert ask(chain).status_code == 200
    assert all("x-may-wait" not in asked.headers for asked in stages.asked)


@pytest.mark.parametrize("wrong", ["0", "-1", "61", "soon"])
def test_a_deadline_that_is_none_is_refused(chain, stages, wrong):
    """A deadline that is read as no deadline, or as one in the past."""
    assert ask(chain, **{"x-deadline": wrong}).status_code == 422
    assert stages.asked == []


def test_what_belongs_to_the_request_reaches_every_stage(chain, stages):
    """A trace that breaks off after the first hop."""
    ask(chain, **{"x-request-id": "abc", "x-envoy-fault-delay-request": "50", "x-other": "1"})
    for asked in stages.asked:
        assert asked.headers["x-request-id"] == "abc"
        assert asked.headers["x-envoy-fault-delay-request"] == "50"
        assert "x-other" not in asked.headers


def test_the_chain_notes_each_stage_that_it_asked(chain, stages):
    """Times that are missing where something failed, which is when they are wanted."""
    ask(chain, **{"x-request-id": "well"})
    stages.status["forecast"] = 503
    ask(chain, **{"x-request-id": "ill"})
    well, ill = chain.get("/calls").json()
    assert (well["request"], well["probability"]) == ("well", 0.1)
    assert set(STAGES) < set(well) and well["total"] >= sum(well[stage] for stage in STAGES)
    assert "forecast" in ill and "advice" not in ill and ill["probability"] == 0.2


# --- the stages ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paths():
    return build.ensure("rough", "good")


@pytest.fixture
def stage(paths, monkeypatch):
    with contextlib.ExitStack() as running:

        def started(name):
            monkeypatch.setenv("STAGE", name)
            monkeypatch.setenv("MODEL", str(paths["rough" if name == "screen" else "good"]))
            return running.enter_context(TestClient(runpy.run_module(STAGE)["app"]))

        yield started


def body(**more):
    return {"flight": EXAMPLE, "samples": 1, **more}


def test_the_forecast_mixes_its_word_with_the_screens(stage):
    """A second stage that does not listen to the first."""
    forecast = stage("forecast")
    low, high = (
        forecast.post("/predict", json=body(probability=p)).json()["probability"]
        for p in (0.1, 0.8)
    )
    (good,) = predict_proba("good", [EXAMPLE])
    assert low == pytest.approx(mixed(good, 0.1), abs=1e-5)
    assert high == pytest.approx(mixed(good, 0.8), abs=1e-5)
    assert low < high


def test_advice_is_the_nearest_departure_that_is_clearly_better(stage):
    """Advice that changes for nothing, or further than it must."""
    advice = stage("advice")
    kept = advice.post("/predict", json=body(probability=0.1)).json()
    assert (kept["probability"], kept["departs"]) == (0.1, EXAMPLE["departs"])
    changed = advice.post("/predict", json=body(probability=0.99)).json()
    assert changed["departs"] == 1080  # the full hour next to 17:45
    assert changed["probability"] <= 0.89


@pytest.mark.parametrize("name", ["forecast", "advice"])
def test_a_stage_without_the_answer_before_it_refuses(stage, name):
    """A stage that makes up what it needs."""
    answer = stage(name).post("/predict", json=body())
    assert answer.status_code == 422
    assert "before" in answer.json()["detail"]


@pytest.mark.parametrize("wrong", [{"probability": 1.5}, {"samples": 0}, {"flight": {}}])
def test_what_no_stage_can_use_is_refused(stage, wrong):
    """A chance above one that spoils all that follows."""
    assert stage("screen").post("/predict", json=body() | wrong).status_code == 422


def test_a_request_that_has_waited_too_long_is_not_begun(stage):
    """Work for a caller who has left."""
    screen = stage("screen")
    late = screen.post("/predict", json=body(), headers={"x-may-wait": "-1"})
    assert late.status_code == 504
    timely = screen.post("/predict", json=body(), headers={"x-may-wait": "5"})
    assert timely.status_code == 200 and timely.json()["seconds"] > 0
    assert "stage_work_seconds_count 1.0" in screen.get("/metrics").text


def test_mixing_keeps_to_chances():
    """A certain model whose odds are infinite."""
    assert 0 < mixed(1.0, 0.0) < 1
    assert mixed(0.3, 0.3) == pytest.approx(0.3)
    assert mixed(np.array([0.2, 0.2]), np.array([0.1, 0.5]))[0] < 0.2


def table_of(slow):
    stages = {stage: np.where(slow[:, i], 0.05, 0.002) for i, stage in enumerate(STAGES)}
    table = pd.DataFrame({**stages, "rest": 0.001})
    return table.assign(latency=table.sum(axis=1))


def test_what_is_slow_together_is_told_from_what_is_slow_by_chance():
    """One number for two kinds of chains."""
    random = np.random.default_rng(1)
    chance = table_of(random.random((2000, 3)) < 0.09)
    together = table_of(np.repeat(random.random((2000, 1)) < 0.09, 3, axis=1))
    assert lab.sum_of_quantiles(chance, 0.95).high < 0.5
    assert lab.sum_of_quantiles(together, 0.95).value == pytest.approx(1)
    assert lab.slow_share_gain(chance, 0.04).low > 2.4
    assert lab.slow_share_gain(together, 0.04).value == pytest.approx(1)
    assert lab.stages_share(chance).value == pytest.approx(1 - 0.001 / chance["latency"].mean())


# --- what could not be measured ------------------------------------------------------------------


@pytest.mark.parametrize("left", [0, 1])
def test_too_few_requests_are_unknown(left):
    """A traceback, or an interval of no width, where hardly a request was answered."""
    table = table_of(np.zeros((2, 3), dtype=bool)).head(left)
    for found in (
        lab.latency_quantile(table, 0.9),
        lab.sum_of_quantiles(table, 0.95),
        lab.stages_share(table),
        lab.ratio(table["latency"], pd.Series([0.1, 0.2]), np.median),
    ):
        assert not found.known and f"{left} values are too few" in found.note


def test_where_no_stage_was_slow_none_was_met():
    """A share divided by none."""
    found = lab.slow_share_gain(table_of(np.zeros((20, 3), dtype=bool)), 0.04)
    assert not found.known and found.note == "no stage was slow"
