"""The online A/B test: who is pinned where, what is logged, when the guardrail speaks, replays."""

import asyncio
import contextlib
import importlib
from types import SimpleNamespace

import numpy as np
import pytest
from starlette.testclient import TestClient

from lab_services.labs.qa import online_ab_test as lab
from lab_services.patterns.qa.online_ab_test import variants
from lab_services.patterns.qa.online_ab_test.evidence import Evidence
from tests.patterns.fake_service import Answer, fake_service

PATTERN = "lab_services.patterns.qa.online_ab_test"
USERS = [f"traveller-{number}" for number in range(5000)]


def module(name, monkeypatch, **environment):
    """A service's module, started anew with this environment."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    return importlib.reload(importlib.import_module(f"{PATTERN}.{name}"))


class Log:
    """Redis, as far as the splitter uses it."""

    def __init__(self):
        self.streams = {"assigned": [], "answered": [], "happened": []}

    async def xadd(self, stream, entry):
        self.streams[stream].append(entry)

    def pipeline(self, transaction):
        return Pipeline(self)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None


class Pipeline(Log):
    """What is added is there only once it is executed."""

    def __init__(self, log):
        self.log, self.waiting = log, []

    def xadd(self, stream, entry):
        self.waiting.append((stream, entry))

    async def execute(self):
        for stream, entry in self.waiting:
            self.log.streams[stream].append(entry)


@pytest.fixture
def proxy():
    """What stands behind the splitter: answers with the arm that was asked, and fails old apps."""

    def answer(asked):
        arm = {"x-arm": asked.headers.get("x-arm") or "b"}
        fails = asked.headers.get("x-app") == "old"
        return Answer(b"no", 503, arm) if fails else Answer(b'{"late":true}', headers=arm)

    with fake_service(answer) as service:
        yield SimpleNamespace(url=f"{service.url}/predict", asked=service.asked)


@pytest.fixture
def splitter(proxy, monkeypatch):
    """A splitter, its log and its client."""
    made = module("splitter", monkeypatch, PREDICT_URL=proxy.url, LOG="redis://127.0.0.1:1/0")
    log = Log()
    monkeypatch.setattr(made, "LOG", log)
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(TestClient(made.app)), log.streams


def ask(client, user, path="/predict", **headers):
    sent = {"x-user": user, "x-request-id": f"{user}-1", **headers}
    return client.post(path, json={"flight": 1}, headers=sent)


# --- arms ----------------------------------------------------------------------------------------


def test_a_traveller_stays_and_a_ramp_moves_nobody_out():
    """A larger share that deals everybody anew: those in B yesterday are in A today."""
    before = {user for user in USERS if variants.arm_of(user, "test", 0.1) == "b"}
    after = {user for user in USERS if variants.arm_of(user, "test", 0.5) == "b"}
    assert before < after
    assert len(before) / len(USERS) == pytest.approx(0.1, abs=0.015)
    assert len(after) / len(USERS) == pytest.approx(0.5, abs=0.025)


def test_nobody_and_everybody():
    """A kill switch that leaves somebody in B."""
    assert {variants.arm_of(user, "test", 0) for user in USERS} == {"a"}
    assert {variants.arm_of(user, "test", 1) for user in USERS} == {"b"}


def test_two_salts_are_independent():
    """The same people in B in every test."""
    of_b = [user for user in USERS if variants.arm_of(user, "one", 0.5) == "b"]
    again = sum(variants.arm_of(user, "another", 0.5) == "b" for user in of_b)
    assert again / len(of_b) == pytest.approx(0.5, abs=0.04)


# --- splitter ------------------------------------------------------------------------------------


def test_the_model_of_the_arm_answers_and_both_halves_are_logged(splitter, proxy):
    """An answer of the other model; an answer that nobody can join to its assignment."""
    client, streams = splitter
    for user in USERS[:20]:
        answer = ask(client, user, **{"x-app": "new"})
        assert (answer.status_code, answer.json()) == (200, {"late": True})
        arm = variants.arm_of(user, "first", 0.5)
        assert proxy.asked[-1].headers["x-arm"] == arm
        common = {"test": "first", "request": f"{user}-1", "user": user, "arm": arm}
        assert streams["assigned"][-1] == {**common, "share": 0.5}
        assert streams["answered"][-1] == {**common, "forecast": b'{"late":true}'}
    assert proxy.asked[-1].body == b'{"flight":1}'


def test_a_failure_is_passed_on_and_leaves_an_assignment_without_an_answer(splitter):
    """A failure that is logged nowhere, or that the client takes for an answer."""
    client, streams = splitter
    assert ask(client, "somebody", **{"x-app": "old"}).status_code == 503
    assert len(streams["assigned"]) == 1
    assert not streams["answered"]


def test_a_proxy_that_is_not_there_is_a_502(proxy, monkeypatch):
    """A crash of the splitter because of one behind it."""
    made = module(
        "splitter", monkeypatch, PREDICT_URL="http://127.0.0.1:1/", LOG="redis://127.0.0.1:1/0"
    )
    monkeypatch.setattr(made, "LOG", Log())
    with TestClient(made.app) as client:
        assert ask(client, "somebody").status_code == 502


def test_without_its_log_it_gives_nobody_an_arm(proxy, monkeypatch):
    """Travellers in a test that no log knows of."""
    made = module("splitter", monkeypatch, PREDICT_URL=proxy.url, LOG="redis://127.0.0.1:1/0")
    with TestClient(made.app, raise_server_exceptions=False) as client:
        assert ask(client, "somebody").status_code == 500
    assert not proxy.asked


def test_by_chance_the_proxy_chooses(splitter, proxy):
    """An arm that is fixed before the draw; a log without the arm that was drawn."""
    client, streams = splitter
    assert ask(client, "somebody", "/predict/by-chance").status_code == 200
    assert "x-arm" not in proxy.asked[-1].headers
    assert streams["answered"][-1]["arm"] == "b"
    assert not streams["assigned"]


def test_the_share_changes_while_it_runs(splitter, proxy):
    """A kill switch that needs a release."""
    client, _ = splitter
    for share, arm in ((0, "a"), (1, "b")):
        assert client.post("/split", json={"test": "t", "share": share}).status_code == 200
        ask(client, "somebody")
        assert proxy.asked[-1].headers["x-arm"] == arm


def test_outcomes_are_logged_under_their_requests(splitter):
    """Outcomes that nobody can join, or that are lost between two systems."""
    client, streams = splitter
    some = [{"request": "t-1", "late": True}, {"request": "t-2", "late": False}]
    assert client.post("/outcomes", json=some).status_code == 204
    assert streams["happened"] == [{"request": "t-1", "late": 1}, {"request": "t-2", "late": 0}]
    assert client.post("/outcomes", json=[{"request": "t-1"}]).status_code == 422
    assert client.post("/outcomes", json=[]).status_code == 422


@pytest.mark.parametrize("split", [{"test": "t", "share": 1.1}, {"test": "", "share": 0}, {}])
def test_a_split_that_makes_no_sense_is_refused(splitter, split):
    """110 % of the travellers."""
    assert splitter[0].post("/split", json=split).status_code == 422


def test_a_traveller_without_a_name_is_refused(splitter):
    """All nameless ones in one arm."""
    client, streams = splitter
    assert client.post("/predict", json={}, headers={"x-request-id": "1"}).status_code == 422
    assert ask(client, "").status_code == 422
    assert not streams["assigned"]


# --- guardrail -----------------------------------------------------------------------------------


def accused(failures, share, false_alarms=0.001):
    evidence = Evidence()
    for number, arm in enumerate(failures, 1):
        evidence.add(arm, share)
        if evidence.is_against_b(false_alarms):
            return number
    return 0


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_failures_of_b_alone_accuse_it_as_soon_as_the_formula_says(share):
    """A guardrail that waits for ever, or that speaks at the first failure."""
    assert accused("b" * 100, share) == lab.failures_needed(share, 0.001)


def test_failures_that_fall_as_the_split_does_accuse_nobody():
    """A candidate that is stopped for a fault of the database behind both."""
    assert accused("ab" * 500, 0.5) == 0
    assert accused("a" * 500, 0.5) == 0, "fewer failures than A are no reason to stop B"
    assert accused(("a" * 9 + "b") * 50, 0.1) == 0


def test_it_accuses_the_harmless_as_rarely_as_promised():
    """Evidence that grows by being looked at."""
    random = np.random.default_rng(3)
    wrong = sum(
        accused(np.where(random.random(200) < 0.3, "b", "a"), 0.3, false_alarms=0.1) > 0
        for _ in range(400)
    )
    assert wrong / 400 <= 0.1


def test_a_failure_where_nobody_is_makes_no_sense():
    """A logarithm of zero."""
    with pytest.raises(ValueError, match="Nobody"):
        Evidence().add("b", 0)


@pytest.fixture
def guardrails(monkeypatch):
    """The module of the guardrail."""
    return module(
        "guardrail", monkeypatch, SPLIT_URL="http://127.0.0.1:1/", LOG="redis://127.0.0.1:1/0"
    )


def entry(number, test="mine", **fields):
    return {"test": test, "request": str(number), "arm": "b", "share": "0.5", **fields}


def test_only_what_stays_unanswered_counts(guardrails):
    """A slow answer that is taken for a failure; another test's failures."""
    guardrail = guardrails.Guardrail("mine")
    for number in range(40):
        guardrail.assigned(entry(number, "mine" if number < 20 else "another"), 100.0)
    for number in range(4):
        guardrail.answered(entry(number, forecast='{"late":true}'), 100.1)
    assert not guardrail.must_stop(100.4)
    assert guardrail.against["failures"].failures["b"] == 0
    assert guardrail.must_stop(100.6)
    assert guardrail.against["failures"].failures == {"a": 0, "b": 16}
    assert guardrail.must_stop(101.0), "until somebody has done it"
    guardrail.stopped = 101.0
    assert not guardrail.must_stop(102.0)
    assert guardrail.reason == "failures"


@pytest.mark.parametrize(("late", "stops"), [("0", True), ("1", False)])
def test_wrong_answers_count_once_the_flight_is_in(guardrails, late, stops):
    """A model that is accused of answers that were right, or of flights still in the air."""
    guardrail = guardrails.Guardrail("mine")
    for number in range(20):
        guardrail.assigned(entry(number), 100.0)
        guardrail.answered(entry(number, forecast='{"late":true}'), 100.1)
    assert not guardrail.must_stop(200.0)
    for number in range(20):
        guardrail.happened({"request": str(number), "late": late}, 200.0)
        guardrail.happened({"request": "unheard of", "late": late}, 200.0)
    assert guardrail.must_stop(200.1) == stops
    assert guardrail.reason == ("wrong" if stops else "")
    assert guardrails.verdict(guardrail)["wrong"]["b"] == (20 if stops else 0)


def test_it_reads_the_log_from_the_moment_on_at_which_it_is_asked(guardrails, monkeypatch):
    """A guardrail that reads a year of log before it sees the first failure."""

    async def clock():
        return 1700000000, 5

    monkeypatch.setattr(guardrails, "LOG", SimpleNamespace(time=clock))
    answer = asyncio.run(guardrails.begin({"test": "mine"}))
    assert answer["test"] == "mine" and answer["stopped"] == 0
    assert guardrails.state.guardrail.read == dict.fromkeys(
        ("assigned", "answered", "happened"), "1700000000000"
    )


def test_it_reads_the_log_and_takes_b_out(guardrails, monkeypatch):
    """A guardrail that knows and does nothing, or that ends with the first error."""
    assigned = [(f"1000-{n}", entry(n)) for n in range(20)]
    answered = [("1000-20", entry(3, forecast='{"late":true}'))]
    reads = [[], [("assigned", assigned), ("answered", answered)], []]
    posted = []

    class Session:
        def __init__(self, raise_for_status):
            assert raise_for_status

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            return None

        @contextlib.asynccontextmanager
        async def post(self, url, json):
            posted.append((url, json))
            if len(posted) == 1:
                raise guardrails.aiohttp.ClientError("the splitter restarts")
            yield None

    async def xread(read):
        if reads:
            return reads.pop()
        raise guardrails.redis.ConnectionError("the log restarts")

    async def some_turns():
        task = asyncio.create_task(guardrails.watch())
        await asyncio.sleep(0.1)
        task.cancel()

    monkeypatch.setattr(guardrails, "LOG", SimpleNamespace(xread=xread))
    monkeypatch.setattr(guardrails, "EVERY_SECONDS", 0.001)
    monkeypatch.setattr(guardrails.aiohttp, "ClientSession", Session)
    guardrails.state.guardrail = guardrails.Guardrail("mine")
    asyncio.run(some_turns())
    assert posted == 2 * [("http://127.0.0.1:1/", {"test": "mine", "share": 0})]
    assert guardrails.verdict(guardrails.state.guardrail)["failures"]["b"] == 19


# --- replays -------------------------------------------------------------------------------------


@pytest.fixture
def random():
    return np.random.default_rng(5)
