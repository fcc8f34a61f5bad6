"""The worker behind the queue: it holds the same big model, and nobody waits for it."""

import time

import orjson
from redis import Redis

from lab_services.services import settings
from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Model
from lab_services.services.worker import Job, Worker

model = Model()
forecasts = Forecasts(model)
store = Redis.from_url(settings.text("QUEUE_URL"))


def handle(job: Job) -> None:
    """Predict and put the answer where it will be looked up; done again it is the same answer."""
    question = orjson.loads(job.fields["job"])
    (forecast,) = forecasts([question["flight"]])
    answer = {**forecast, "finished": time.time()}
    store.hset("answers", question["id"], orjson.dumps(answer).decode())


worker = Worker.from_environment(handle)
app = worker.service("worker", model.load)
