"""A predictor in a shadow test, production's or the candidate's: it notes each of its answers.

The note carries the request's id, which a request and its copy have in common. A traveller whose
flight is called late is sent a notice, unless the request is marked as a copy.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Annotated

from fastapi import Header, HTTPException
from prometheus_client import Gauge

from lab_services.patterns.qa.shadow_ab_test.notes import Note, Notes
from lab_services.services import settings
from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Flight, Forecast, Model
from lab_services.services.service import Service

NAME = settings.text("NAME")
CARRIER = re.compile(settings.text("CARRIER"))
Ident = Annotated[str, Header(min_length=1, max_length=64)]

model = Model()
forecasts = Forecasts(model)
notes = Notes(settings.text("DATABASE_URL"))


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The model, and whoever writes the notes."""
    model.load()
    writing = asyncio.create_task(notes.keep_writing())
    yield
    writing.cancel()


app = Service("shadow-ab-test", lifespan=resources)
lost = Gauge("notes_lost", "Notes that found no room to wait", registry=app.registry)
lost.set_function(lambda: notes.lost)


@app.post("/predict")
async def predict(
    flight: Flight, x_request_id: Ident, x_shadow: Annotated[str, Header()] = ""
) -> Forecast:
    """Will this flight arrive more than 15 minutes late?"""
    began = perf_counter()
    if not CARRIER.fullmatch(flight["carrier"]):
        raise HTTPException(422, f"{flight['carrier']} is no carrier.")
    (forecast,) = forecasts([flight])
    said = forecast["probability"], forecast["late"]
    note = Note(x_request_id, NAME, *said, perf_counter() - began)
    notes.add(note, notice=forecast["late"] and not x_shadow)
    return forecast
