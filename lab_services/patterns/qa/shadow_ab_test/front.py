"""Shadow in code: an application that asks a candidate beside production, in two ways or not.

All three answer with what production says. They behave as if they were applications of their own,
so that they can be compared on one fault.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Literal, NamedTuple

import aiohttp
from fastapi import Header, Request, Response
from prometheus_client import Counter

from lab_services.services import settings
from lab_services.services.service import Service

PRODUCTION_URL = settings.text("PRODUCTION_URL")
CANDIDATE_URL = settings.text("CANDIDATE_URL")
COPIES = int(settings.number("COPIES", 32, low=1, high=10_000))
PATIENCE = settings.number("PATIENCE", 1, low=0.001, high=60)  # seconds
TIMEOUT = aiohttp.ClientTimeout(total=5)
# What means that a service has not answered.
FAILED = (aiohttp.ClientError, TimeoutError)

Ident = Annotated[str, Header(min_length=1, max_length=64)]
Headers = Mapping[str, str]


class Answer(NamedTuple):
    """What a predictor answered, bytes as they came."""

    status: int
    content: bytes


class State:
    """Connections. The naive way shares its own between production and candidate."""

    shared: aiohttp.ClientSession
    production: aiohttp.ClientSession
    candidate: aiohttp.ClientSession


state = State()
copies: set[asyncio.Task[None]] = set()  # under way; the loop itself keeps no task alive


@asynccontextmanager
async def connected(_: Service) -> AsyncIterator[None]:
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as state.shared,
        aiohttp.ClientSession(timeout=TIMEOUT) as state.production,
        aiohttp.ClientSession(timeout=TIMEOUT) as state.candidate,
    ):
        yield
        for task in list(copies):
            task.cancel()


app = Service("shadow-ab-test", lifespan=connected)
compared = Counter("compared", "Pairs of answers", ["outcome"], registry=app.registry)
copied = Counter("copies", "Copies by what became of them", ["outcome"], registry=app.registry)


# --- the pattern --------------------------------------------------------------------------------


async def alone(body: bytes, headers: Headers) -> Answer:
    """No shadow."""
    return await ask(state.production, f"{PRODUCTION_URL}/predict", body, headers)


async def naive(body: bytes, headers: Headers) -> Answer:
    """Ask both, compare, answer: one line of code, and the candidate is in production."""
    production, candidate = await asyncio.gather(
        ask(state.shared, f"{PRODUCTION_URL}/predict", body, headers),
        ask(state.shared, f"{CANDIDATE_URL}/unmarked/predict", body, headers),
    )
    if candidate.status != 200:
        raise aiohttp.ClientError(f"the candidate answers {candidate.status}")
    compared.labels("same" if production.content == candidate.content else "different").inc()
    return production


async def guarded(body: bytes, headers: Headers) -> Answer:
    """The copy is a task of its own: nobody awaits it, and only so many are under way."""
    if len(copies) < COPIES:
        task = asyncio.create_task(copy(body, headers))
        copies.add(task)
        task.add_done_callback(copies.discard)
    else:
        copied.labels("dropped").inc()
    return await ask(state.production, f"{PRODUCTION_URL}/predict", body, headers)


async def copy(body: bytes, headers: Headers) -> None:
    """Ask the candidate. Whatever comes of it, or does not come, ends here."""
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await ask(state.candidate, f"{CANDIDATE_URL}/predict", body, headers)
    except FAILED:
        copied.labels("failed").inc()
    else:
        copied.labels("answered" if answer.status == 200 else "refused").inc()


# --- around it ----------------------------------------------------------------------------------

WAYS: dict[str, Callable[[bytes, Headers], Awaitable[Answer]]] = {
    "alone": alone,
    "naive": naive,
    "guarded": guarded,
}


async def ask(session: aiohttp.ClientSession, url: str, body: bytes, headers: Headers) -> Answer:
    """What a predictor answers. Raises one of FAILED."""
    async with session.post(url, data=body, headers=headers) as answer:
        return Answer(answer.status, await answer.read())


@app.post("/{way}/predict")
async def predict(
    way: Literal["alone", "naive", "guarded"], request: Request, x_request_id: Ident
) -> Response:
    """Production's answer, by an application that shadows in this way."""
    headers = {"content-type": "application/json", "x-request-id": x_request_id}
    try:
        answer = await WAYS[way](await request.body(), headers)
    except FAILED as error:
        return Response(f'{{"detail": "no answer: {type(error).__name__}"}}', 502)
    return Response(answer.content, answer.status, media_type="application/json")
