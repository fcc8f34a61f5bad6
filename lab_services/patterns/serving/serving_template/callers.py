"""Callers of the fleet, by what they read of an answer, and what becomes of their requests.

200: the caller has what it needs. 500: the service failed. 502: it answered, and the caller found
no field that it knows. 503: nobody answered.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import aiohttp
from fastapi import HTTPException, Path

from lab_services.models.features import Flight
from lab_services.services import settings
from lab_services.services.service import Service

Answer = dict[str, Any]
READS: dict[str, Callable[[Answer], bool]] = {
    "old": lambda answer: answer["late"],
    "new": lambda answer: answer["delayed"],
    # Takes the new name where it is there, else the old one, and minds nothing else.
    "tolerant": lambda answer: answer["delayed"] if "delayed" in answer else answer["late"],
}


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The connections to the gateway."""
    async with aiohttp.ClientSession(settings.text("GATEWAY_URL")) as session:
        app.state.session = session
        yield


app = Service("callers", lifespan=resources)


@app.post("/{reader}/{service}")
async def ask(
    reader: Literal["old", "new", "tolerant"],
    service: Annotated[str, Path(pattern="^[a-z]+$")],
    flight: Flight,
) -> dict[str, bool]:
    """Ask a service of the fleet as one of the callers does."""
    try:
        async with app.state.session.post(f"/{service}/predict", json=flight) as response:
            if response.status != 200:
                failed = 500 if response.status == 500 else 503
                raise HTTPException(failed, f"{service} answered {response.status}.")
            answer = await response.json()
    except (aiohttp.ClientError, TimeoutError) as failure:
        raise HTTPException(503, f"{service} has not answered.") from failure
    try:
        return {"late": READS[reader](answer)}
    except KeyError as missing:
        raise HTTPException(502, f"{service} answers without {missing}.") from missing
