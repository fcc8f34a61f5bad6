"""A service whose requests take as long as they are asked to."""

import asyncio
from contextlib import asynccontextmanager

from typing_extensions import TypedDict

from lab_services.services.service import Service


class Wait(TypedDict):
    seconds: float


@asynccontextmanager
async def nothing(_):
    yield


app = Service("slow", lifespan=nothing)


@app.post("/wait")
async def wait(body: Wait) -> Wait:
    await asyncio.sleep(body["seconds"])
    return body
