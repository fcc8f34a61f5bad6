"""The first half: takes a flight, makes rows of numbers, asks the second half."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import aiohttp
from fastapi import Header, HTTPException, Query, Response

from lab_services.patterns.serving.prep_pred.preparing import Preparation
from lab_services.patterns.serving.prep_pred.wire import WIRES, Encoding
from lab_services.services import settings
from lab_services.services.cpu_throttle import CpuThrottle
from lab_services.services.predictor import Flight, Forecast
from lab_services.services.service import Service

preparation, throttle = Preparation(), CpuThrottle()
Samples = Annotated[int, Query(ge=1, le=5000)]
Hours = Annotated[int, Query(ge=0, le=500)]
Handshake = Annotated[Literal["off", "on"], Header()]


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The card of the model, and connections to the other half."""
    preparation.load()
    async with aiohttp.ClientSession(
        settings.text("PREDICTION_URL"), connector=aiohttp.TCPConnector(limit=0)
    ) as session:
        app.state.session = session
        yield


app = Service("preparation", lifespan=resources)


@app.post("/predict")
async def predict(
    flight: Flight,
    response: Response,
    samples: Samples = 1,
    hours: Hours = 0,
    encoding: Encoding = "tensor",
    x_handshake: Handshake = "on",
) -> Forecast:
    """Will this flight arrive more than 15 minutes late? The mean over many samples."""
    async with throttle:
        body = WIRES[encoding].encode(preparation.rows(flight, samples, hours))
    headers: dict[str, str] = {"x-encoding": encoding}
    if x_handshake == "on":
        headers["x-contract"] = preparation.contract
    try:
        async with app.state.session.post("/predict", data=body, headers=headers) as answer:
            said = await answer.json()
            wanted = answer.headers.get("x-contract", "")
    except (aiohttp.ClientError, ValueError) as error:
        raise HTTPException(503, "The prediction has not answered.") from error
    by = {"x-answered-by": f"{preparation.contract}+{wanted}"}
    if answer.status != 200:
        raise HTTPException(answer.status, said.get("detail", ""), headers=by)
    response.headers.update(by)
    forecast: Forecast = said
    return forecast
