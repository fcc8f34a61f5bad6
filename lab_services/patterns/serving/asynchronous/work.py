"""Asynchronous, the worker: it holds the model and does one job after another."""

import time
from typing import Any

import orjson
from redis import Redis

from lab_services.services import settings
from lab_services.services.forecasts import changes, sampled
from lab_services.services.predictor import Forecast, Model
from lab_services.services.worker import Job, Worker

# How far a forecast of the weather is off, as a share of its value.
FORECAST_ERROR = settings.number("FORECAST_ERROR", 0.2, low=0, high=1)
# Charges for an id that has not been charged for. A script is one step: nobody comes in between.
CHARGE_ONCE = """
if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then redis.call('HINCRBY', KEYS[2], ARGV[2], 1) end
"""

model = Model()
store = Redis.from_url(settings.text("STORE_URL"))


def handle(job: Job) -> None:
    """Predict, charge for it, store the result, and tell those who wait."""
    asked = orjson.loads(job.fields["job"])
    forecast = predict(asked)
    finished = time.time()
    with store.pipeline(transaction=False) as steps:
        steps.rpush("log", orjson.dumps([asked["id"], job.place, worker.name, finished]))
        if asked["keyed"]:
            steps.eval(CHARGE_ONCE, 2, "charged", "bill", asked["id"], asked["account"])
        else:
            steps.hincrby("bill", asked["account"], 1)
        steps.hsetnx("results", asked["id"], orjson.dumps(forecast | {"finished": finished}))
        steps.publish("finished", asked["id"])
        steps.execute()


def predict(asked: dict[str, Any]) -> Forecast:
    """The mean over as many samples around the forecast as were asked for."""
    samples = changes(asked["samples"], FORECAST_ERROR)
    rows = sampled(model.prepare([asked["flight"]]), samples)
    probability = round(float(model.predict(rows).mean()), 6)
    return {"probability": probability, "late": probability > asked["late_above"]}


worker = Worker.from_environment(handle)
app = worker.service("worker", model.load)
