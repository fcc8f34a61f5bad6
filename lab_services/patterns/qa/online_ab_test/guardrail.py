"""The guardrail: reads the log while a test runs and takes a harmful candidate out."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast

import aiohttp
import redis.asyncio
from pydantic import Field
from typing_extensions import TypedDict

from lab_services.patterns.qa.online_ab_test.evidence import Evidence
from lab_services.services import settings
from lab_services.services.service import Service

SPLIT_URL = settings.text("SPLIT_URL")
LOG = redis.asyncio.from_url(settings.text("LOG"), decode_responses=True)
FALSE_ALARMS = settings.number("FALSE_ALARMS", 0.001, low=1e-9, high=0.5)
PATIENCE_SECONDS = settings.number("PATIENCE_SECONDS", 0.5, low=0, high=60)
EVERY_SECONDS = 0.1
# What Redis gives: for each stream its new entries, each with its place and its fields.
Read = list[tuple[str, list[tuple[str, dict[str, str]]]]]

log = logging.getLogger(__name__)


class Watch(TypedDict):
    """The test that is watched."""

    test: Annotated[str, Field(min_length=1, max_length=64, examples=["boosted-trees"])]


class Verdict(TypedDict):
    """What the guardrail has seen of its test."""

    test: str
    failures: dict[str, int]
    wrong: dict[str, int]
    reason: Annotated[str, Field(description="Why B was taken out: failures, wrong, or nothing")]
    stopped: Annotated[float, Field(description="When B was taken out, in unix seconds, or 0")]


class Guardrail:
    """Holds against a test's arms what goes wrong: no answer in time, and answers that were wrong.

    A failure is known within the second; whether an answer was wrong, only when the flight is in.
    """

    def __init__(self, test: str, since: str = "0") -> None:
        self.test = test
        # The place in each stream up to which it has read.
        self.read = dict.fromkeys(("assigned", "answered", "happened"), since)
        self.against = {"failures": Evidence(), "wrong": Evidence()}
        self.reason, self.stopped = "", 0.0
        self._unanswered: dict[str, tuple[str, float, float]] = {}
        self._answered: dict[str, tuple[str, float, bool]] = {}

    def assigned(self, entry: dict[str, str], when: float) -> None:
        """A traveller was given an arm, at a time in unix seconds."""
        if entry["test"] == self.test:
            self._unanswered[entry["request"]] = entry["arm"], float(entry["share"]), when

    def answered(self, entry: dict[str, str], when: float) -> None:
        """A model has answered."""
        if given := self._unanswered.pop(entry["request"], None):
            arm, share, _ = given
            self._answered[entry["request"]] = arm, share, json.loads(entry["forecast"])["late"]

    def happened(self, entry: dict[str, str], when: float) -> None:
        """A flight has arrived, late or not."""
        if said := self._answered.pop(entry["request"], None):
            arm, share, late = said
            if not self.reason and late != (entry["late"] == "1"):
                self.against["wrong"].add(arm, share)

    def must_stop(self, now: float) -> bool:
        """Whether B has to be taken out and is not yet. Once there is a reason, nothing counts."""
        if self.reason:
            return not self.stopped
        for request, (arm, share, since) in list(self._unanswered.items()):
            if now - since >= PATIENCE_SECONDS:
                del self._unanswered[request]
                self.against["failures"].add(arm, share)
        reasons = [why for why, held in self.against.items() if held.is_against_b(FALSE_ALARMS)]
        self.reason = reasons[0] if reasons else ""
        return bool(reasons)


class State:
    """The test that is watched now; none at first."""

    guardrail: Guardrail | None = None


state = State()


async def watch() -> None:
    """Look again and again; where the log or the splitter does not answer, try once more."""
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if state.guardrail is not None:
                try:
                    await look(state.guardrail, session)
                except (redis.RedisError, aiohttp.ClientError, TimeoutError) as error:
                    log.error("cannot watch", extra={"error": repr(error)})


async def look(guardrail: Guardrail, session: aiohttp.ClientSession) -> None:
    """Read what is new in the log; take B out where that must be."""
    for stream, entries in cast(Read, await LOG.xread(cast(Any, guardrail.read))):
        take = getattr(guardrail, stream)
        for ident, entry in entries:
            guardrail.read[stream] = ident
            take(entry, int(ident.split("-")[0]) / 1000)
    if guardrail.must_stop(time.time()):
        async with session.post(SPLIT_URL, json={"test": guardrail.test, "share": 0}):
            guardrail.stopped = time.time()
            log.warning("stopped", extra={"reason": guardrail.reason})


@asynccontextmanager
async def watching(_: Service) -> AsyncIterator[None]:
    async with LOG:
        task = asyncio.create_task(watch())
        yield
        task.cancel()


app = Service("guardrail", lifespan=watching)


@app.post("/watch")
async def begin(wanted: Watch) -> Verdict:
    """Watch a test from now on, with nothing held against it yet."""
    seconds, _ = await LOG.time()
    state.guardrail = Guardrail(wanted["test"], since=f"{seconds * 1000}")
    return verdict(state.guardrail)


@app.get("/verdict")
async def seen() -> Verdict:
    """What has been seen so far."""
    return verdict(state.guardrail or Guardrail(""))


def verdict(guardrail: Guardrail) -> Verdict:
    """The state of a guardrail in plain values."""
    return {
        "test": guardrail.test,
        "failures": guardrail.against["failures"].failures,
        "wrong": guardrail.against["wrong"].failures,
        "reason": guardrail.reason,
        "stopped": guardrail.stopped,
    }
