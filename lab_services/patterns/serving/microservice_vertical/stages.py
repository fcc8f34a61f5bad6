"""The three stages: STAGE says which of them this service is, MODEL which model it holds.

Each has one worker and a queue before it, as most model servers have.
"""

import time
from math import inf
from typing import Annotated

from fastapi import Header, HTTPException
from prometheus_client import Summary

from lab_services.models.features import Flight
from lab_services.patterns.serving.microservice_vertical.messages import Answer, Asked
from lab_services.patterns.serving.microservice_vertical.mixing import mixed
from lab_services.services import settings
from lab_services.services.forecasts import changes, sampled
from lab_services.services.predictor import Model, Rows, create_app, one_at_a_time

# The departures to choose from, minutes after midnight, and how much better one must be.
DEPARTURES = range(6 * 60, 22 * 60 + 1, 60)
BETTER_BY = 0.1
# How far a weather forecast is off, as a share of its value.
FORECAST_ERROR = 0.2


class TooLate(Exception):
    """The request has waited for longer than it may."""


model = Model()
app = create_app("stage of a chain", model)
work_seconds = Summary("stage_work_seconds", "Work for a request", registry=app.registry)
weather = changes(100_000, FORECAST_ERROR)


@app.post("/predict", responses={504: {"description": "It has waited for too long"}})
async def predict(
    asked: Asked, may_wait: Annotated[float, Header(alias="x-may-wait")] = inf
) -> Answer:
    """This stage's answer; refused where it could not be begun within `x-may-wait` seconds."""
    latest = time.monotonic() + may_wait
    try:
        return await in_turn(asked, latest)
    except TooLate:
        raise HTTPException(504, "It has waited for too long.") from None


@one_at_a_time
def in_turn(asked: Asked, latest: float) -> Answer:
    """What the worker does when a request's turn has come. Raises TooLate."""
    began = time.monotonic()
    if began > latest:
        raise TooLate
    probability, departs = WORK[settings.choice("STAGE", "", list(WORK))](asked)
    seconds = time.monotonic() - began
    work_seconds.observe(seconds)
    return {"probability": probability, "departs": departs, "seconds": seconds}


def screen(asked: Asked) -> tuple[float, int]:
    """Is there anything to worry about? A rough model, over an eighth of the samples."""
    chance = averages([asked["flight"]], asked["samples"] // 8)[0]
    return float(chance), asked["flight"]["departs"]


def forecast(asked: Asked) -> tuple[float, int]:
    """The good model's word, mixed with that of the stage before."""
    chance = float(averages([asked["flight"]], asked["samples"])[0])
    return float(mixed(chance, before(asked))), asked["flight"]["departs"]


def advice(asked: Asked) -> tuple[float, int]:
    """The nearest departure of the day that is better than what the stage before found."""
    flight, enough = asked["flight"], before(asked) - BETTER_BY
    others: list[Flight] = [{**flight, "departs": departs} for departs in DEPARTURES]
    chances = averages(others, asked["samples"] // 4 // len(others))
    better = [
        (abs(departs - flight["departs"]), departs, float(chance))
        for departs, chance in zip(DEPARTURES, chances, strict=True)
        if chance <= enough
    ]
    if not better:
        return before(asked), flight["departs"]
    _, departs, chance = min(better)
    return chance, departs


WORK = {"SCREEN": screen, "FORECAST": forecast, "ADVICE": advice}


def before(asked: Asked) -> float:
    """The chance that the stage before found. Raises HTTPException where there is none."""
    if "probability" not in asked:
        raise HTTPException(422, "This stage needs the probability that the one before found.")
    return asked["probability"]


def averages(flights: list[Flight], samples: int) -> Rows:
    """The model's chance for each flight, averaged over samples near the forecast."""
    samples = max(1, samples)
    rows = sampled(model.prepare(flights), weather[:samples])
    means: Rows = model.predict(rows).reshape(-1, samples).mean(axis=1)
    return means
