"""Helpers of the lab `serving/microservice-horizontal`: what it reads off, and the theory."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lab_services.labs.serving import microservice_horizontal as lab
from lab_services.models.features import EXAMPLE
from lab_services.patterns.serving.microservice_horizontal import parts
from lab_services.report import charts
from lab_services.report.stats import Interval
from lab_services.traffic.recording import Recording

DELAYS = {"weather": (0.07, 0.3), "route": (0.3, 0.2)}


# --- theory -------------------------------------------------------------------------------------


def test_the_share_of_slow_requests():
    """The closed form against numbers that the paper gives."""
    assert lab.slow_share(0.01, 100) == pytest.approx(0.634, abs=5e-4)
    assert lab.slow_share(0.05, 1) == pytest.approx(0.05)
    assert lab.slow_share(0.05, 4, calls=2) == pytest.approx(1 - (1 - 0.0025) ** 4)
    assert lab.slow_share(0, 10) == 0 and lab.slow_share(1, 1) == 1
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="chance"):
            lab.slow_share(wrong, 2)


def test_the_number_of_branches_is_its_inverse():
    """An exercise whose solution contradicts its check."""
    for p, share in ((0.01, 0.1), (0.05, 0.5)):
        assert lab.slow_share(p, lab.branches_until(p, share)) == pytest.approx(share)
    with pytest.raises(ValueError, match="between"):
        lab.branches_until(0, 0.5)


def test_what_arrives_by_a_deadline():
    """Chances that do not add up, or a branch that is late and early at once."""
    for deadline in (0.01, 0.1, 0.5):
        assert sum(lab.arrivals(DELAYS, deadline).values()) == pytest.approx(1)
    assert lab.complete_share(DELAYS, 0.01) == pytest.approx(0.7 * 0.8)
    assert lab.complete_share(DELAYS, 0.1) == pytest.approx(0.8)
    assert lab.complete_share(DELAYS, 0.5) == 1
    assert lab.arrivals(DELAYS, 0.1)["carrier", "hour", "weather"] == pytest.approx(0.2)
    assert lab.arrivals({}, 0.1) == {tuple(parts.PARTS): 1}


# --- from recordings ----------------------------------------------------------------------------


def recording(**columns):
    length = len(next(iter(columns.values())))
    usual = {
        "intended": np.arange(length, dtype=float),
        "started": np.arange(length, dtype=float),
        "latency": np.full(length, 0.01),
        "status": np.full(length, 200),
        "ok": np.full(length, True),
        "warmup": np.full(length, False),
    }
    return Recording(pd.DataFrame(usual | columns), begin=0.0, seconds=float(length))


def test_calls_beyond_one_each():
    """Extra load that forgets how wide the fan is."""
    few = lab.extra_load(recording(sent=[4, 5, 4, 4]), 4)
    assert few.value == pytest.approx(1 / 16) and few.low == 0 and few.high > 0.2
    # Of the second one the front noted nothing: it has not made four calls too few.
    assert lab.extra_load(recording(sent=[5, 0]), 4).value == pytest.approx(1 / 4)


def test_calls_that_nobody_noted_are_unknown():
    """A traceback, or no extra load at all, where the front noted nothing."""
    silent = recording(sent=[0, 0], seconds=[(), ()])
    for found in (lab.extra_load(silent, 4), lab.call_quantile(silent, 0.95)):
        assert not found.known and found.note
    noted = recording(seconds=[(0.1, 0.3), (0.2,)])
    assert lab.call_quantile(noted, 0.5) == Interval.exact(0.2, "s")


class Front:
    """A stack whose front is nowhere: only its address and its notes are asked for."""

    notes = ()

    def url(self, service, path="", **_):
        return f"http://127.0.0.1:1{path}"

    def json(self, service, path, patience):
        return self.notes


def test_what_the_front_noted_finds_its_request():
    """Notes that are shifted by one, or a request without a note that stops the lab."""
    notes = [{"request": 8, "sent": 5, "seconds": [0.1, 0.2], "arrived": ["hour"]}]
    front = Front()
    front.notes = notes  # type: ignore[assignment]
    found = lab.with_joins(front, recording(number=[7, 8]))
    assert found.table["sent"].tolist() == [0, 5]
    assert found.table["arrived"].tolist() == [(), ("hour",)]
    assert lab.call_seconds(found).tolist() == [0.1, 0.2]


def test_every_request_has_a_number_of_its_own():
    """Two requests with one number: the notes of one are taken for the other's."""
    made, schedule = lab.arms(
        Front(), [EXAMPLE], {"a": {}, "b": {"deadline": 0.5}}, each=10, rate=50, oftener={"a": 2}
    )
    numbers = [request.labels["number"] for request in made]
    assert len(set(numbers)) == len(made) >= len(schedule)
    assert [request.labels["arm"] for request in made[:6]] == ["a", "a", "b"] * 2
    sent = [request.labels["arm"] for request in made[: len(schedule)]]
    assert sent.count("b") >= 10 and sent.count("a") >= 20
    assert all(f"x-request: {r.labels['number']}".encode() in r.message.data for r in made)
    assert made[2].url.endswith("/predict?deadline=0.5")


# --- quality ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quality():
    from lab_services.models import build

    build.ensure()
    return lab.Quality(400)


EVERYTHING = tuple(parts.PARTS)


def test_what_is_missing_costs_quality(quality):
    """A loss that is measured on other flights than the whole, or with the wrong sign."""
    assert quality.lost({EVERYTHING: 1}).value == 0
    lost = quality.lost({("route",): 1})
    assert lost.low > 0.02
    assert quality.of({EVERYTHING: 1}).value - quality.of({("route",): 1}).value == pytest.approx(
        lost.value
    )


def test_a_mixture_lies_between_its_parts(quality):
    """Shares that do not count, or that count twice."""
    whole, part = quality.of({EVERYTHING: 1}).value, quality.of({("route",): 1}).value
    mixed = quality.of({EVERYTHING: 0.5, ("route",): 0.5}).value
    assert part < mixed < whole
    assert quality.of({EVERYTHING: 30, ("route",): 30}).value == pytest.approx(mixed)
    assert quality.of({EVERYTHING: 1, ("route",): 0}).value == pytest.approx(whole)


def test_counted_kinds_add_their_own_uncertainty(quality):
    """An interval that does not know how few requests the shares come from."""
    random = np.random.default_rng(0)
    route, requests = ("route",), 50
    known = quality.of({EVERYTHING: 0.5, route: 0.5})
    found = []
    for share in random.binomial(requests, 0.5, 200) / requests:
        found.append(quality.of({EVERYTHING: share, route: 1 - share}).value)
    told = quality.of({EVERYTHING: 0.5, route: 0.5}, requests)
    own = ((told.high - told.low) ** 2 - (known.high - known.low) ** 2) ** 0.5 / (2 * 1.96)
    assert own == pytest.approx(np.std(found), rel=0.25)


def test_the_auc_is_that_of_the_textbook(quality):
    """A tie that counts whole, or late and punctual flights taken for each other."""
    scores = np.round(quality.whole, 2)[:, None]
    of_late, of_punctual, _ = lab.adds_to_auc(quality.late, scores, np.ones(1))
    late, punctual = scores[quality.late], scores[~quality.late].T
    textbook = np.mean((late > punctual) + (late == punctual) / 2)
    assert of_late.mean() == pytest.approx(textbook)
    assert of_punctual.mean() == pytest.approx(textbook)


def test_the_interval_is_as_wide_as_the_bootstraps(quality):
    """A loss that looks certain and is not."""
    random, found = np.random.default_rng(0), []
    for _ in range(200):
        at = random.integers(0, len(quality.late), len(quality.late))
        of_late, *_ = lab.adds_to_auc(quality.late[at], quality.whole[at, None], np.ones(1))
        found.append(of_late.mean())
    told = quality.of_one_model()
    assert (told.high - told.low) / (2 * 1.96) == pytest.approx(np.std(found), rel=0.25)


def test_kinds_of_answers_are_counted_where_there_is_an_answer():
    """A failed request that counts as an answer without branches."""
    of = recording(arrived=[("hour",), ("hour",), ("route", "hour"), ()], ok=[True] * 3 + [False])
    assert lab.kinds(of) == {("hour",): pytest.approx(2 / 3), ("route", "hour"): 1 / 3}


def test_what_nobody_answered_has_no_quality(quality):
    """A traceback, or a number of nothing, where no request was answered at all."""
    of = recording(arrived=[(), ()], ok=[False, False])
    lost = quality.lost(lab.kinds(of), len(of))
    assert not lost.known and lost.note == "no request was answered"


# --- the chart ----------------------------------------------------------------------------------


def test_the_chart_tells_whole_from_partial_from_none():
    """Points of a kind that stand for another."""
    fault = SimpleNamespace(kind="pause", service="weather", replica=None, start=1.0, end=None)
    of = recording(status=[200, 203, 503], ok=[True, True, False])
    queued = recording(status=[202, 202, 202], joined=[0.0, 2.0, math.nan])
    panels = {"deadline": lab.points(of), "queue": lab.points(queued)}
    chart = charts.scatter(panels, [fault], order=lab.KINDS, name="stall", title="A stall")
    assert "deadline: 1 complete" in chart.alt and "1 partial" in chart.alt
    assert "1 no answer" in chart.alt
    assert "queue: 2 complete, after 1.00 ms to 2.00 s; 3 taken in" in chart.alt
    assert "pause weather" in chart.svg


def test_an_answer_is_joined_to_the_request_it_is_to():
    """A join that is shown when it came and not when it was asked for."""
    queued = recording(status=[202, 202], joined=[math.nan, 2.0])
    (joined,) = lab.points(queued).query("kind == 'complete'").itertuples(index=False)
    assert (joined.asked, joined.took) == (1.0, 2.0)
