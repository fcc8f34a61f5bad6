"""Helpers of the lab `serving/all-in-one`: what it reads off, and the theory."""

import numpy as np
import pandas as pd
import pytest

from lab_services import report
from lab_services.labs.serving import all_in_one as lab
from lab_services.models import build
from lab_services.report.queueing import lindley
from lab_services.stack import compose
from lab_services.stack.catalogue import compose_path
from lab_services.traffic.recording import Recording

# --- the service ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def built():
    build.ensure()


def test_the_lab_counts_with_what_the_stack_is_told():
    """A prediction of the death that is made for other settings than those of the Compose file."""
    topology = compose.read(compose_path("serving/all-in-one"), {"LAB_MODELS": "/models"})
    assert {s.environment["OTHERS"] for s in topology.services.values()} == {"500"}
    assert {s.environment["SAMPLES"] for s in topology.services.values()} == {"24000"}
    assert len({s.memory for s in topology.services.values()}) == 1
    held = [each.split("=")[0] for each in topology.services["one"].environment["MODELS"].split()]
    assert tuple(held) == lab.MODELS


# --- theory --------------------------------------------------------------------------------------


def test_pollaczek_and_khinchine_for_a_mix():
    """The square forgotten, or taken of the mean."""
    queue = lab.mixed({"fast": 100, "slow": 15}, {"fast": 0.001, "slow": 0.040})
    expected = (100 * 0.001**2 + 15 * 0.040**2) / (2 * (1 - 0.7))
    assert queue.mean_wait(115) == pytest.approx(expected)
    assert lab.mixed({"fast": 0}, {"fast": 0.001}) is None


def recording(offsets, models, latency=0.001, ok=True, **columns):
    table = pd.DataFrame(
        {
            "intended": 1000.0 + np.asarray(offsets, dtype=float),
            "started": 1000.0 + np.asarray(offsets, dtype=float),
            "latency": latency,
            "model": models,
            "ok": ok,
            "error": "",
            "warmup": False,
            **columns,
        }
    )
    return Recording(table, begin=1000.0, seconds=float(max(offsets)) + 1)


def test_who_comes_waits_for_the_work_before():
    """A recursion that counts its own work, or lets idle time count as credit."""
    services = {"board": 0.0, "advice": 0.010}
    seen = recording([0, 0.001, 0.004, 0.030, 0.031], ["advice", "board", "advice"] + ["board"] * 2)
    latencies = lab.expected_latencies(seen, services, "board", alone=0.001)
    assert latencies == pytest.approx([0.010, 0.001, 0.001])


def test_the_recursion_agrees_with_the_formula():
    """Two theories in one lab that say different things."""
    random = np.random.default_rng(1)
    count, services = 60_000, {"board": 0.0002, "advice": 0.015}
    rates = {"board": 100, "advice": 40}
    models = random.choice(["board", "advice"], count, p=[100 / 140, 40 / 140])
    seen = recording(np.cumsum(random.exponential(1 / 140, count)), models)
    formula = lab.mixed(rates, services).mean_wait(140)
    waited = lindley(seen.table["intended"], seen.table["model"].map(services))
    assert waited.mean() == pytest.approx(formula, rel=0.1)


def test_what_theory_explains_is_compared_request_by_request():
    """An interval as wide as the luck of the arrivals."""
    random = np.random.default_rng(2)
    services = {"board": 0.0002, "advice": 0.015}
    models = random.choice(["board", "advice"], 3000, p=[0.7, 0.3])
    offsets = np.cumsum(random.exponential(1 / 130, 3000))
    expected = 0.001 + lindley(offsets, pd.Series(models).map(services))
    seen = recording(offsets, models, latency=1.2 * expected)
    ratio = lab.explained(seen, services, "board", alone=0.001)
    assert (ratio.low, ratio.high) == pytest.approx((1.2, 1.2))


def test_who_forgets_the_square_expects_less():
    """A rival that predicts what the right theory does, which then proves nothing."""
    random = np.random.default_rng(3)
    services = {"board": 0.0002, "advice": 0.015}
    models = random.choice(["board", "advice"], 3000, p=[0.75, 0.25])
    seen = recording(np.cumsum(random.exponential(1 / 160, 3000)), models)
    rival = lab.by_mean_time(seen, services, "board", alone=0.001)
    assert 0.2 < rival.low < rival.high < 0.5
    alike = lab.by_mean_time(seen, {"board": 0.002, "advice": 0.002}, "board", alone=0.001)
    assert (alike.low, alike.high) == pytest.approx((1.0, 1.0))
    assert not lab.by_mean_time(seen, services, "board", np.nan).known


def test_what_cannot_be_explained_is_unknown():
    """A traceback where a request failed, or where nobody knows what the board takes alone."""
    services = {"board": 0.0002, "advice": 0.015}
    seen = recording([0, 1, 2], "board", ok=[True, False, True])
    failing = lab.explained(seen, services, "board", 0.001)
    assert not failing.known and failing.note == "1 of 3 requests to board have failed"
    sound = recording([0, 1, 2], "board")
    assert not lab.explained(sound, services, "board", np.nan).known


def test_memory_of_many_models():
    """A crossover on the wrong side."""
    cost = lab.Memory.fit({1: 60e6, 11: 160e6})
    assert (cost.base, cost.model) == (pytest.approx(50e6), pytest.approx(10e6))
    assert cost.crossover == pytest.approx(6)
    for models in (2, 5, 30):
        assert cost.together(models, 5) < cost.apart(models, 5)
        assert cost.together(models, 6) == pytest.approx(cost.apart(models, 6))
        assert cost.together(models, 7) > cost.apart(models, 7)
    assert lab.Memory(50e6, 0).crossover == np.inf
    with pytest.raises(ValueError, match="two points"):
        lab.Memory.fit({1: 60e6})
    assert lab.growth({0.0: 10.0, 1.0: 30.0, 2.0: 50.0}).value == 20
    still = lab.growth({0.1: 1e7 / 3, 0.2: 1e7 / 3, 0.4: 1e7 / 3, 0.7: 1e7 / 3})
    assert still.value == 0 and still.low < 0 < still.high < 1e6


@pytest.mark.parametrize("seen", [{}, {0.4: 10.0}])
def test_growth_that_nobody_looked_at_is_unknown(seen):
    """A service that dies between two looks, and is said not to have grown."""
    growth = lab.growth(seen)
    assert not growth.known and growth.note == (
        f"memory was looked at {len(seen)} times, growth needs 2"
    )
    other = report.Interval.exact(-7, "bytes")
    assert lab.fastest(other, growth) == growth
    assert lab.fastest(growth, other) == growth


def test_the_fastest_growth():
    """A service that shrinks taken for one that grows, or overlooked."""
    grown = [report.Interval.exact(value, "bytes") for value in (3, -7)]
    assert lab.fastest(*grown).value == 3
    assert lab.fastest(*grown, either_way=True).value == 7
    sure, open_ = report.Interval.exact(3, "bytes"), report.Interval(2, -np.inf, np.inf, 1, "bytes")
    assert lab.fastest(sure, open_) == open_


# --- what was lost -------------------------------------------------------------------------------


def leaking():
    seen = recording(
        [0, 1, 2, 3, 4, 5],
        ["board", "reasons", "reasons", "board", "advice", "reasons"],
        ok=[True, True, False, False, True, False],
        arm=["one", "one", "one", "one", "one", "apart"],
    )
    seen.begin = 999.0
    return seen


def test_failures_are_counted_by_model():
    """The leaking model counted among those that it takes along."""
    seen = leaking()
    assert lab.failed(seen, "board", "advice") == (1, 3)
    assert lab.failed(seen.table, "reasons") == (2, 3)
    assert lab.outcome(seen.table).tolist() == [
        *("answered", "answered", "reasons failed"),
        *("board failed", "answered", "reasons failed"),
    ]


def test_a_death_is_dated_by_the_first_explanation_that_fails():
    """A death that is dated by a platform which looks once in a while."""
    lived = lab.lifetime(leaking(), "one")
    assert lived.value == pytest.approx(3.001) and lived.low < 3 < lived.high
    assert lab.lifetime(leaking(), "apart").value == pytest.approx(6.001)
    alive = lab.lifetime(recording([0, 1], "reasons", arm="one"), "one")
    assert not alive.known and "has not died" in alive.note


def test_who_waits_in_the_queue_dates_no_death_by_when_it_came():
    """A busy machine whose service is said to have died with the first who waits, or gives up."""
    seen = recording([0, 1, 2, 3], "reasons", ok=False, arm="one", latency=[10.0, 6.0, 5.0, 0.001])
    seen.table["error"] = ["no answer within 10 s", "", "", ""]
    assert lab.lifetime(seen, "one").value == pytest.approx(3.001)
    assert not lab.lifetime(
        recording([0], "reasons", ok=False, arm="one", error="no answer within 10 s"), "one"
    ).known


def test_nothing_lost_of_nothing_asked_is_unknown():
    """A release after the traffic that is said to have taken nothing from anybody."""
    assert lab.counted(0, 5) == report.Interval.exact(0, "requests")
    assert not lab.counted(0, 0).known


def test_many_models_of_one_kind():
    """A name used twice, so that the service holds fewer than it is told."""
    named = [each.split("=") for each in lab.copies(3).split()]
    assert len({name for name, _ in named}) == 3
    assert {path for _, path in named} == {"/models/good.onnx"}
