"""A branch: a model of its own for one part of what is known of a flight.

It is asked in two ways. Over HTTP somebody waits for the answer. In the stream of flights, which
every branch reads as a group of its own, nobody does: the answer is put beside those of the others.
"""

from typing import Any

import orjson
from redis import Redis

from lab_services.models import payloads
from lab_services.patterns.serving.microservice_horizontal.parts import (
    PARTS,
    Opinion,
    in_the_place_of,
    log_odds,
)
from lab_services.services import settings
from lab_services.services.predictor import Flight, Model
from lab_services.services.worker import Job, Worker

PART = settings.choice("PART", "WEATHER", [part.upper() for part in PARTS]).lower()
# How many other flights stand for what the branch is not told, from a month that no lab judges by.
OTHERS = int(settings.number("OTHERS", 200, low=2, high=10_000))
KEPT_SECONDS = 600  # for whoever fetches the joined answer

model = Model()
# redis-py's types stand for both its clients at once, and so say little.
queue: Any = Redis.from_url(settings.text("QUEUE_URL"))


def prepare() -> None:
    """Load the model, and ask it about the other flights as they are."""
    model.load()
    others: Any = payloads.flights(OTHERS, seed=7, months=(10,))
    app.state.others = model.prepare(others)
    app.state.usual = float(log_odds(model.predict(app.state.others).mean()))


def opinion(flight: Flight) -> Opinion:
    """What the trees say of the flight, on average over all that the branch is not told."""
    rows = in_the_place_of(model.prepare([flight]), PART, app.state.others)
    said = float(log_odds(model.predict(rows).mean()))
    return {"odds": round(said, 6), "usual": round(app.state.usual, 6)}


def put_beside(job: Job) -> None:
    """The asynchronous join: who puts the last opinion beside the others says that it is whole."""
    said = opinion(orjson.loads(job.fields["flight"]))
    with queue.pipeline(transaction=True) as together:
        together.hset(f"join:{job.place}", PART, orjson.dumps(said))
        together.expire(f"join:{job.place}", KEPT_SECONDS)
        together.hlen(f"join:{job.place}")
        *_, opinions = together.execute()
    if opinions == len(PARTS):
        queue.xadd("joined", {"flight": job.place})


app = Worker.from_environment(put_beside).service(f"branch for {PART}", prepare)


@app.post("/predict")
async def predict(flight: Flight) -> Opinion:
    """What this part of the flight says."""
    return opinion(flight)
