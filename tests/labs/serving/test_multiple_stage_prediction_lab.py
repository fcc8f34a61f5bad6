"""Helpers of the lab `serving/multiple-stage-prediction`: what it reads off, and the theory."""

import math

import numpy as np
import pandas as pd
import pytest

from lab_services.labs.serving import multiple_stage_prediction as lab
from lab_services.models import build
from lab_services.models.features import EXAMPLE
from lab_services.report import charts
from lab_services.stack.messages import Fault
from lab_services.traffic import constant
from lab_services.traffic.recording import Recording
from lab_services.traffic.request import Request


def asked(screen="s-1", session="s", **changed):
    body = {"screen": screen, "session": session, "flight": EXAMPLE, "margin": 1}
    return body | {"samples": 50, "patience": 0} | changed


# --- what is sent --------------------------------------------------------------------------------


class Standing:
    """A stack that says where its front is."""

    def url(self, service, path=""):
        return f"http://{service}:8000{path}"


def test_screens_of_a_session_come_at_random_times():
    """Sessions in turn, whose screens come at even times, and so leave too evenly."""
    made = lab.screens(Standing(), [EXAMPLE] * 3, "n", 40, 50, sessions=4, round=1)
    sessions = [each.labels["session"] for each in made]
    assert len(set(sessions)) == 4 and sessions[:4] * 10 != sessions
    assert [each.labels["number"] for each in made[:4]] == [0, 1, 2, 0]
    assert len({each.labels["screen"] for each in made}) == 40
    held = lab.with_id(Standing(), made)[0]
    assert held.message.target.startswith("/screens/n-0?") and held.labels["stage"] == "good"
    heard = lab.without_id(Standing(), made)[0]
    assert heard.message.target.startswith(f"/sessions/{sessions[0]}/next?")


def test_three_ways_share_the_arrivals():
    """Groups that do not meet the same moments, or one that is sent twice."""
    schedule = constant(100, 3)
    requests, both = lab.three_ways(Standing(), [EXAMPLE], "n", schedule, 50)
    ways = pd.Series([(each.labels["way"], each.labels["stage"]) for each in requests])
    counts = ways.value_counts()
    assert counts["staged", "first"] == counts["staged", "good"]
    assert counts["staged", "first"] + counts["rough only", "first"] + counts[
        "good only", "good"
    ] == len(schedule)
    assert len(both) == len(requests) and np.all(np.diff(both.offsets) >= 0)
    bodies = {each.labels["way"]: each.message for each in requests if each.method == "POST"}
    assert bodies["good only"].target == "/screens/good"


def test_streams_go_out_together():
    """A request that is sent at another one's time."""
    one, other = (Request(f"http://x:1/{name}") for name in "ab")
    requests, schedule = lab.at_once(constant(10, 0.2), [one, one], [None, other])
    assert requests == [one, one, other]
    assert len(schedule) == 3 and schedule.offsets[1] == schedule.offsets[2]
    with pytest.raises(ValueError):
        lab.at_once(constant(10, 0.2), [one])


# --- delays and theory ---------------------------------------------------------------------------


def recording(**columns):
    table = pd.DataFrame({"warmup": False, "ok": True, "status": 200, "answered_by": ""} | columns)
    return Recording(table, begin=0.0, seconds=1.0)


def test_an_answer_that_did_not_come_is_infinitely_late():
    """A 202 after a long wait, counted as an answer."""
    made = recording(
        stage=["good"] * 3,
        latency=[0.1, 0.2, 0.3],
        status=[200, 202, 500],
        ok=[True, True, False],
    )
    assert lab.delays(made, "good").tolist() == [0.1, math.inf, math.inf]


def test_a_screen_is_told_by_the_worker_s_clock():
    """Skipped and unasked screens that count as answered."""
    made = recording(
        stage=["first"] * 3, latency=[0.01] * 3, intended=[1.0, 2.0, 3.0], screen=["a", "b", "c"]
    )
    done = pd.DataFrame({"screen": ["a", "b"], "finished": [1.5, 2.5], "good": [0.3, math.nan]})
    told = lab.asked_and_told(made, done)
    assert told["good"].tolist() == [0.5, math.inf, math.inf]
    assert lab.late_after(told, 1.5, 0.6) == (1.5, 2)
    assert lab.late_after(told.iloc[:1], 0.5, 0.6) == (0, 0)


def test_the_service_time_is_that_between_two_finishes():
    """The first job, whose wait for the worker is none of the service."""
    done = pd.DataFrame({"finished": [9.0, 9.1, 9.2, 9.3]})
    assert lab.gaps(done) == pytest.approx([0.1] * 3)
    found = lab.median(lab.gaps(done))
    assert (found.value, found.unit) == (pytest.approx(0.1), "s")
    assert np.isnan(lab.gaps(done[:1])).all()
    assert not lab.median(lab.gaps(done[:1])).known


def test_how_long_a_backlog_is_felt():
    """The last late screen, whose place is chance, or a line through those that were in time."""
    random, since = np.random.default_rng(0), np.arange(0, 2, 0.05)
    took = 1.5 - 0.5 * since + random.normal(0, 0.02, len(since))
    told = pd.DataFrame({"asked": 100 + since, "good": np.maximum(took, 0.8)})
    found = lab.felt_for(told, 100, limit=1.0)
    assert found.low < 1.0 < found.high < 1.2
    assert found.value == pytest.approx(1.0, abs=0.1)
    assert not lab.felt_for(told[:5], 100, limit=1.0).known
    assert not lab.felt_for(told.assign(good=2 + since), 100, limit=1.0).known


def test_theory_says_who_still_looks():
    """A formula that a simulated queue contradicts."""
    rate, service, patience = 60.0, 0.01, 0.02
    random = np.random.default_rng(1)
    gaps = random.exponential(1 / rate, 200_000)
    waited = np.zeros(len(gaps))
    for number in range(1, len(gaps)):
        waited[number] = max(0.0, waited[number - 1] + service - gaps[number])
    simulated = lab.still_there(waited + service, patience)
    expected = lab.still_there_expected(patience, rate, service)
    assert simulated.low <= expected <= simulated.high
    assert simulated.high - simulated.low < 0.02
    later = lab.still_there_expected(patience, rate, service, overhead=patience)
    assert later == pytest.approx(expected / math.e)
    assert lab.still_there_expected(patience, 100, service) == 0


def test_who_waits_for_ever_has_left():
    """An answer that never came, seen by somebody."""
    assert lab.still_there(np.array([0.0, math.inf]), 1).value == 0.5


def test_screens_that_hear_another_s_answer_are_counted():
    """Silence counted as a wrong answer, or as a right one."""
    made = recording(
        stage=["next"] * 4 + ["good"], screen=list("abcde"), answered_by=["a", "a", "c", "", "e"]
    )
    assert lab.elsewhere(made).value == pytest.approx(1 / 3)
    assert lab.wrong_updates(made, "next") == 1
    assert lab.wrong_updates(made, "good") == 0
    silent = recording(stage=["next"], screen=["a"], answered_by=[""])
    assert not lab.elsewhere(silent).known


# --- quality -------------------------------------------------------------------------------------


def test_worth_goes_from_a_blank_screen_to_the_good_answer():
    """A rough answer that is worth more than a good one, or a blank screen worth something."""
    late = np.array([True, False, False, True])
    good = np.array([0.9, 0.1, 0.2, 0.8])
    assert lab.worth(late, np.full(4, 0.5), good, 0.5) == 0
    assert lab.worth(late, good, good, 0.5) == 1
    assert 0 < lab.worth(late, np.array([0.6, 0.4, 0.4, 0.6]), good, 0.5) < 1
    with pytest.raises(ValueError, match="no more"):
        lab.worth(late, good, 1 - good, 0.5)


def test_the_stages_add_up_over_time():
    """A screen that loses its first answer when the second comes, or gains it twice."""
    first, good, at = np.array([0.1, 0.1]), np.array([0.5, math.inf]), np.array([0, 0.2, 1.0])
    assert lab.on_screen(first, None, 0.7, at).tolist() == [0, 0.7, 0.7]
    assert lab.on_screen(None, good, 0.7, at).tolist() == [0, 0, 0.5]
    assert np.allclose(lab.on_screen(first, good, 0.7, at), [0, 0.7, 0.85])
    assert lab.over_time(first, good, 0.7, 1.0).value == pytest.approx(0.7 * 0.9 + 0.3 * 0.25)
    assert lab.over_time(None, good, 0.7, 1.0).value == pytest.approx(0.25)
    assert lab.over_time(first, None, 0.7, 0.1).value == 0


def test_the_unsure_are_selected():
    """A margin that asks for the sure ones."""
    rough, good = np.array([0.1, 0.29, 0.32, 0.9]), np.array([0.4, 0.4, 0.4, 0.95])
    assert lab.selected(rough, good, 0.3, 0.05) == (0.5, 0.5)
    assert lab.selected(rough, good, 0.3, 1) == (1, 1)
    assert lab.selected(rough, good, 0.3, 0) == (0, 0)
    with pytest.raises(ValueError, match="no answer"):
        lab.selected(rough, rough, 0.3, 0.1)


def test_both_stages_can_be_asked_without_a_service():
    """Qualities of other models than those that answer."""
    build.ensure("rough", "good")
    rough, good = lab.forecasts([EXAMPLE] * 3, 20, 0.1)
    assert rough.shape == good.shape == (3,)
    assert len(set(rough)) == len(set(good)) == 1 and rough[0] != good[0]


# --- a standstill --------------------------------------------------------------------------------


def test_a_backlog_grows_and_drains_as_the_fluid_says():
    """A wait that ends with the pause, as if nothing had piled up."""
    at = np.array([0.0, 1.0, 2.0, 2.5, 3.0, 9.0])
    found = lab.expected_delay(at, (1.0, 2.0), 50, 0.01)
    assert np.allclose(found, [0.01, 1.01, 0.51, 0.26, 0.01, 0.01])
    # After that a new screen waits for 0.26 s.
    assert lab.expected_drain(1.0, 50, 0.01, 0.26) == pytest.approx(0.5)
    assert lab.expected_drain(1.0, 50, 0.01, 2.0) == 0


@pytest.mark.parametrize("service", [0.02, 0.03, math.nan])
def test_a_worker_without_time_to_spare_never_catches_up(service):
    """A time below nothing, or a division by none, where the worker had become slower."""
    assert math.isnan(lab.expected_drain(1.0, 50, service, 0.1))


def test_without_a_screen_after_the_pause_nobody_was_spared():
    """A queue that has drained at once, because nobody has asked."""
    late = lab.late_after(told(), 5.0, 0.3)
    assert all(map(math.isnan, late))


def told():
    rows = {"asked": [0.0, 1.0, 2.0], "first": [0.01] * 3, "good": [0.1, math.inf, 0.5]}
    return pd.DataFrame(rows)


def points(of):
    return of.melt("asked", var_name="kind", value_name="took")


def standstill(of, service):
    """The chart of the lab, of two policies that came to the same."""
    at = np.array(of["asked"])
    expected = at, lab.expected_delay(at, (0.5, 1.5), 50, service)
    panels = {"all jobs": points(of), "old jobs skipped": points(of)}
    return charts.scatter(
        panels,
        [Fault("pause", "worker", None, 0.5, 1.5)],
        order=["first", "good"],
        theory={"all jobs": expected},
        name="standstill",
        title="A worker stands still",
        y="time until",
    )


def test_the_chart_says_in_words_when_both_answers_came():
    """A chart without an alternative, or with a policy or an answer that is missing in it."""
    alt = standstill(told(), 0.01).alt
    for policy in ("all jobs", "old jobs skipped"):
        assert f"{policy}: 3 first, after 10.0 ms to 10.0 ms; 2 good, after 100 ms" in alt
    assert alt.count("1 never") == 2


def test_a_standstill_without_any_answer_has_its_chart():
    """Axes that reach to infinity."""
    alt = standstill(told().assign(first=math.inf, good=math.inf), math.nan).alt
    assert "3 never" in alt and "Not known: the theory of all jobs." in alt
