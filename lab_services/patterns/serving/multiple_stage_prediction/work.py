"""Multiple stage prediction, the worker: it holds the good model and does one job after another."""

import time

import orjson
from redis import Redis

from lab_services.services import settings
from lab_services.services.forecasts import changes, sampled
from lab_services.services.predictor import Flight, Model
from lab_services.services.worker import Job, Worker

LATE_ABOVE = settings.late_above()
# How far a forecast of the weather is off, as a share of its value.
FORECAST_ERROR = settings.number("FORECAST_ERROR", 0.1, low=0, high=1)
# How long a good answer is kept for a page that looks again.
KEPT_SECONDS = 60

model = Model()
store = Redis.from_url(settings.text("QUEUE_URL"))


def handle(job: Job) -> None:
    """Predict, keep the answer, and tell those who wait; skip a job that has grown too old."""
    asked = orjson.loads(job.fields["job"])
    queued = int(job.place.split("-")[0]) / 1000
    skipped = 0 < asked["patience"] < time.time() - queued
    probability = None if skipped else predict(asked["flight"], asked["samples"])
    done = [asked["screen"], queued, time.time(), asked["rough"], probability]
    with store.pipeline(transaction=False) as steps:
        steps.rpush("log", orjson.dumps(done))
        if probability is not None:
            # The screen goes with the answer all the way: without it a page cannot tell for what
            # it is.
            answer = {"screen": asked["screen"], "session": asked["session"]}
            answer |= {"probability": probability, "late": probability > LATE_ABOVE}
            told = orjson.dumps(answer)
            steps.set(f"answer {asked['screen']}", told, ex=KEPT_SECONDS)
            steps.publish("answers", told)
        steps.execute()


def predict(flight: Flight, samples: int) -> float:
    """The mean over so many samples around the forecast."""
    rows = sampled(model.prepare([flight]), changes(samples, FORECAST_ERROR))
    return round(float(model.predict(rows).mean()), 6)


worker = Worker.from_environment(handle)
app = worker.service("worker", model.load)
