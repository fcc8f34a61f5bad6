"""Microservice horizontal: what is asked, and what is joined."""

import asyncio
import importlib
import math
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
from aiohttp import ClientError
from starlette.testclient import TestClient

from lab_services.models.features import EXAMPLE, FEATURES
from lab_services.patterns.serving.microservice_horizontal import parts
from lab_services.services.worker import Job

PACKAGE = "lab_services.patterns.serving.microservice_horizontal"


# --- the join -----------------------------------------------------------------------------------


def says(odds, usual=-1.0):
    return {"odds": odds, "usual": usual}


def test_a_missing_opinion_changes_nothing():
    """A gap that counts as a zero, which would be a strong opinion."""
    neutral = says(-1.0)
    assert parts.joined([says(0.5), neutral]) == pytest.approx(parts.joined([says(0.5)]))
    assert parts.joined([neutral]) == pytest.approx(1 / (1 + math.e))


def test_opinions_add_up_in_any_order():
    """A join that depends on who answers first."""
    one, two = says(0.5), says(-2.0)
    assert parts.joined([one, two]) == pytest.approx(parts.joined([two, one]))
    assert parts.joined([one, two]) == pytest.approx(1 / (1 + math.exp(-(-1 + 1.5 - 1.0))))


def test_no_opinion_is_no_answer():
    """A made-up answer where nobody has said anything."""
    with pytest.raises(ValueError, match="no opinion"):
        parts.joined([])


def test_a_branch_sees_its_part_of_a_flight_and_nothing_else():
    """A branch that peeks at what belongs to another, or that loses a row."""
    rows = np.arange(22, dtype=np.float32).reshape(2, 11)
    others = -np.arange(33, dtype=np.float32).reshape(3, 11)
    made = parts.in_the_place_of(rows, "hour", others)
    own = [FEATURES.index("weekday"), FEATURES.index("departs")]
    rest = [place for place in range(11) if place not in own]
    assert made.shape == (6, 11)
    assert (made[:3, own] == rows[0, own]).all() and (made[3:, own] == rows[1, own]).all()
    assert (made[:3, rest] == others[:, rest]).all() and (made[3:, rest] == others[:, rest]).all()


def test_the_parts_are_all_of_a_flight_and_each_once():
    """A feature that no branch is told, or that counts twice."""
    told = [name for names in parts.PARTS.values() for name in names]
    assert sorted(told) == sorted(FEATURES)


# --- the front ----------------------------------------------------------------------------------


class Branches:
    """Four branches in this process; `behave[part]` is what each does before it answers."""

    def __init__(self):
        self.behave, self.asked = {}, []

    def post(self, url, json):
        part = url.removesuffix("/predict")
        self.asked.append(part)
        return self._answer(part, self.asked.count(part))

    def _answer(self, part, time):
        branches = self

        class Answer:
            async def __aenter__(self):
                await branches.behave.get(part, _at_once)(time)
                return self

            async def __aexit__(self, *_):
                return False

            async def json(self):
                return says(0.5)

        return Answer()


async def _at_once(time):
    return None


async def never(time):
    await asyncio.sleep(60)


async def slow_at_first(time):
    await asyncio.sleep(60 if time == 1 else 0)


async def fails(time):
    raise ClientError("no")


@pytest.fixture
def front(monkeypatch):
    """The front, with branches of this process behind it."""
    for name in ("CARRIER_URL", "ROUTE_URL", "HOUR_URL", "WEATHER_URL"):
        monkeypatch.setenv(name, name.removesuffix("_URL").lower())
    monkeypatch.setenv("QUEUE_URL", "redis://127.0.0.1:1")
    module = importlib.reload(importlib.import_module(f"{PACKAGE}.front"))
    with TestClient(module.app) as client:
        module.app.state.session = branches = Branches()
        yield SimpleNamespace(client=client, branches=branches, module=module)


def ask(front, number=1, **order):
    headers = {"x-request": str(number)}
    return front.client.post("/predict", params=order, json=EXAMPLE, headers=headers)


def test_each_branch_is_asked_once_and_all_are_joined(front):
    """A branch left out, or asked twice, while all is well."""
    answer = ask(front)
    assert answer.status_code == 200
    assert sorted(front.branches.asked) == sorted(parts.PARTS)
    assert answer.json()["probability"] == pytest.approx(parts.joined([says(0.5)] * 4), abs=1e-5)


def test_a_wider_fan_makes_as_many_calls(front):
    """A fan of sixteen that quietly asks four."""
    assert ask(front, fan=16).status_code == 200
    assert len(front.branches.asked) == 16
    assert front.client.get("/joins").json()[-1]["sent"] == 16


@pytest.mark.alone
def test_at_the_deadline_what_has_arrived_is_the_answer(front):
    """One branch that holds up the others, or a partial answer that looks like a whole one."""
    front.branches.behave = {"weather": never, "hour": fails}
    answer = ask(front, deadline=0.05)
    assert answer.status_code == 203
    assert front.client.get("/joins").json()[-1]["arrived"] == ["carrier", "route"]


def test_without_any_branch_there_is_no_answer(front):
    """A probability out of nothing."""
    front.branches.behave = dict.fromkeys(parts.PARTS, fails)
    answer = ask(front)
    assert answer.status_code == 503
    assert "No branch" in answer.json()["detail"]


def test_an_error_of_our_own_is_not_taken_for_a_missing_branch(front):
    """A bug that hides behind partial answers."""

    async def broken(time):
        raise RuntimeError("a bug")

    front.branches.behave = {"hour": broken}
    with pytest.raises(RuntimeError, match="a bug"):
        ask(front)


@pytest.mark.alone
def test_a_slow_call_is_made_once_more_and_a_fast_one_is_not(front):
    """A hedge that never comes, that waits for the first call, or that doubles the load."""
    front.branches.behave = {"weather": slow_at_first}
    assert ask(front, hedge=0.2, deadline=5).status_code == 200
    assert front.branches.asked.count("weather") == 2
    assert len(front.branches.asked) == 5
    assert front.client.get("/joins").json()[-1]["sent"] == 5


@pytest.mark.alone
def test_a_hedge_answers_where_the_first_call_fails_late(front):
    """A request that fails with the first failure, although its hedge would have answered."""

    async def fails_late_then_answers(time):
        await asyncio.sleep(0.05 if time == 1 else 0.1)
        if time == 1:
            raise ClientError("no")

    front.branches.behave = {"route": fails_late_then_answers}
    assert ask(front, hedge=0.01, deadline=5).status_code == 200
    assert front.branches.asked.count("route") == 2


@pytest.mark.alone
def test_a_hedged_call_keeps_to_the_deadline(front):
    """A second call that waits for ever, when both are slow."""
    front.branches.behave = {"weather": never}
    assert ask(front, hedge=0.01, deadline=0.05).status_code == 203


def test_a_branch_that_fails_again_and_again_is_not_asked(front):
    """A breaker that never opens, or that opens for all branches at once."""
    front.branches.behave = {"weather": fails}
    for number in range(6):
        assert ask(front, number, breaker=True).status_code == 203
    assert front.branches.asked.count("weather") == front.module.FAILURES
    assert front.branches.asked.count("hour") == 6


@pytest.mark.alone
def test_a_late_branch_trips_the_breaker_too(front):
    """Lateness that is no failure: the breaker for stalls would not see one."""
    front.branches.behave = {"weather": never}
    for number in range(5):
        ask(front, number, breaker=True, deadline=0.02)
    assert front.branches.asked.count("weather") == front.module.FAILURES


@pytest.mark.parametrize(
    "order", [{"fan": 0}, {"fan": 65}, {"deadline": 0}, {"deadline": 11}, {"hedge": -1}]
)
def test_an_order_that_makes_no_sense_is_refused(front, order):
    """A request that is never answered, or a thousand calls for one."""
    assert ask(front, **order).status_code == 422


def test_joins_are_told_from_a_number_on(front):
    """The notes of another experiment."""
    for number in (1, 2, 3):
        ask(front, number)
    told = front.client.get("/joins", params={"after": 1}).json()
    assert [each["request"] for each in told] == [2, 3]


# --- the asynchronous join ----------------------------------------------------------------------


class Queue:
    """As much of Redis as the join needs."""

    def __init__(self):
        self.hashes, self.added, self._results = {}, [], []

    def pipeline(self, transaction):
        assert transaction  # else two branches could both, or neither, be the last
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._results = []

    def hset(self, key, field, value):
        self.hashes.setdefault(key, {})[field] = value
        self._results.append(1)

    def expire(self, key, seconds):
        self._results.append(seconds > 0)

    def hlen(self, key):
        self._results.append(len(self.hashes[key]))

    def execute(self):
        return self._results

    def xadd(self, stream, fields):
        self.added.append((stream, fields))


@pytest.fixture
def branch(monkeypatch):
    """Makes the branch of a part, with a model that always says the same."""
    queue = Queue()
    monkeypatch.setenv("QUEUE_URL", "redis://127.0.0.1:1")

    def make(part):
        monkeypatch.setenv("PART", part)
        module = importlib.reload(importlib.import_module(f"{PACKAGE}.branch"))
        model = SimpleNamespace(
            prepare=lambda flights: np.ones((len(flights), 11), dtype=np.float32),
            predict=lambda rows: np.full(len(rows), 0.5, dtype=np.float32),
        )
        monkeypatch.setattr(module, "model", model)
        monkeypatch.setattr(module, "queue", queue)
        module.app.state.others = np.zeros((3, 11), dtype=np.float32)
        module.app.state.usual = -1.0
        return module

    make.queue = queue  # type: ignore[attr-defined]
    return make


def test_the_last_branch_completes_the_join_and_only_the_last(branch):
    """A join that is never told, or told while a branch is missing."""
    job = Job("7-0", {"flight": orjson.dumps(EXAMPLE).decode()}, 1)
    told = []
    for part in parts.PARTS:
        branch(part).put_beside(job)
        told.append(len(branch.queue.added))
    assert told == [0, 0, 0, 1]
    assert branch.queue.added == [("joined", {"flight": "7-0"})]
    assert set(branch.queue.hashes["join:7-0"]) == set(parts.PARTS)


def test_a_flight_that_comes_twice_is_joined_once(branch):
    """A redelivery that makes one branch count for two."""
    job = Job("7-0", {"flight": orjson.dumps(EXAMPLE).decode()}, 1)
    for _ in parts.PARTS:
        branch("weather").put_beside(job)
    assert branch.queue.added == []


def test_a_branch_of_no_part_is_refused(branch):
    """A slip in a setting that makes two branches of one part."""
    with pytest.raises(Exception, match="PART"):
        branch("wheather")
