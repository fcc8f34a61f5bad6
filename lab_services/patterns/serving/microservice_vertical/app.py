"""Microservice vertical: three models in a row, each of which needs the answer before it."""

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiohttp
from fastapi import Header, HTTPException, Query, Request, Response

from lab_services.models.features import Flight
from lab_services.patterns.serving.microservice_vertical.messages import STAGES, Answer
from lab_services.services import settings
from lab_services.services.service import Service

# Whoever calls this service may say when its answer is of no use any more. Seconds.
Deadline = Annotated[float | None, Header(alias="x-deadline", gt=0, le=60)]
# Headers that belong to the request and not to one call: each stage gets them as they came.
PASSED_ON = ("x-request-id", "x-envoy-fault-delay-request")
FAILED = (aiohttp.ClientError, TimeoutError)

calls: deque[dict[str, Any]] = deque(maxlen=20_000)
# Seconds of work that each stage says it had with a request: a mean that forgets.
needs = dict.fromkeys(STAGES, 0.0)
# How much more than the mean is left for the work ahead: half of all work takes longer than usual.
AMPLE = 1.5


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The connections to the stages."""
    connections = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connections, raise_for_status=True) as session:
        app.state.session = session
        yield


app = Service("microservice-vertical", lifespan=resources)


@app.post("/predict")
async def predict(
    flight: Flight,
    request: Request,
    response: Response,
    samples: Annotated[int, Query(ge=1, le=100_000)] = 2000,
    sure: Annotated[float, Query(ge=0, le=1)] = 0.0,
    partial: bool = False,
    ahead: bool = True,
    deadline: Deadline = None,
) -> Answer:
    """Will this flight arrive late, and which departure of the day would be better?

    `sure`: below this chance to be late the first answer is the last. `partial`: what there is
    is an answer too (status 203). `ahead`: a stage may not use the time of those behind it.
    """
    call = Call(request, deadline, ahead)
    asked: dict[str, Any] = {"flight": flight, "samples": samples}
    answer: Answer | None = None
    try:
        for stage in STAGES:
            answer = await call.ask(stage, asked)
            if stage == "screen" and answer["probability"] < sure:
                break  # nothing to advise on: the later stages are spared
            asked["probability"] = answer["probability"]
    except FAILED as failure:
        if not (partial and answer):
            raise HTTPException(503, f"Stage {stage} has not answered.") from failure
        response.status_code = 203
    finally:
        call.end(answer)
    assert answer is not None
    return answer


class Call:
    """One request on its way through the stages."""

    def __init__(self, request: Request, deadline: float | None, ahead: bool) -> None:
        self.headers = {n: request.headers[n] for n in PASSED_ON if n in request.headers}
        self.began = time.monotonic()
        self.deadline, self.ahead = deadline, ahead
        self.seconds: dict[str, float] = {}

    async def ask(self, stage: str, asked: dict[str, Any]) -> Answer:
        """What the stage says. Raises one of FAILED."""
        began = time.monotonic()
        headers, left = dict(self.headers), None
        if self.deadline is not None:
            left = self.began + self.deadline - began
            rest = STAGES[STAGES.index(stage) :] if self.ahead else ()
            may_wait = left - AMPLE * sum(needs[each] for each in rest)
            if may_wait <= 0:
                raise TimeoutError
            headers["x-may-wait"] = f"{may_wait:.6f}"
        url = settings.text(f"{stage.upper()}_URL") + "/predict"
        limit = aiohttp.ClientTimeout(total=left)
        try:
            async with app.state.session.post(
                url, json=asked, headers=headers, timeout=limit
            ) as response:
                answer: Answer = await response.json()
        finally:
            self.seconds[stage] = time.monotonic() - began
        needs[stage] += 0.1 * (answer["seconds"] - needs[stage])
        return answer

    def end(self, answer: Answer | None) -> None:
        """Note how long each stage took, as a tracing system would."""
        calls.append(
            {
                "request": self.headers.get("x-request-id", ""),
                "total": time.monotonic() - self.began,
                "probability": answer["probability"] if answer else None,
                **self.seconds,
            }
        )


@app.get("/calls", tags=["operation"])
async def last_calls() -> list[dict[str, Any]]:
    """The last calls: request id, seconds in all and in each stage asked, the last probability."""
    return list(calls)
