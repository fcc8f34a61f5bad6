"""The predictor: serves the version that the registry calls champion, and follows that name."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import HTTPException
from mlflow.exceptions import MlflowException
from typing_extensions import TypedDict

from lab_services.models import store
from lab_services.patterns.training.batch_training.registry import Registry, client
from lab_services.services import settings
from lab_services.services.predictor import Flight, Flights, Model
from lab_services.services.service import Service

LATE_ABOVE = 0.3
log = logging.getLogger(__name__)


class Answer(TypedDict):
    """What is expected of a flight, and which version says so."""

    probability: float
    late: bool
    version: int


class Following:
    """The champion's model, and the watch on its name."""

    def __init__(self) -> None:
        self.model: Model | None = None
        self.version = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        seconds = settings.number("FOLLOW_SECONDS", 0.25, low=0.05, high=3600)
        registry = Registry(settings.text("REGISTERED", "late"), await asyncio.to_thread(client))

        async def follow() -> None:
            while True:
                # What cannot be asked or read now leaves in place what serves.
                try:
                    await self.look(registry)
                except (MlflowException, store.ModelMissing, store.ModelDamaged) as error:
                    log.warning("the champion cannot be loaded", extra={"why": str(error)})
                await asyncio.sleep(seconds)

        following = asyncio.create_task(follow())
        yield
        following.cancel()

    async def look(self, registry: Registry) -> None:
        """Ask who is champion, and load it where that is another one."""
        champion = await asyncio.to_thread(registry.champion)
        if champion is not None and int(champion.version) != self.version:
            os.environ["MODEL"] = str(champion.source)  # where a Model looks for its file
            fresh = Model()
            await asyncio.to_thread(fresh.load)
            self.model, self.version = fresh, int(champion.version)


following = Following()
app = Service("batch-training predictor", following.running)


def answers(flights: list[Flight]) -> list[Answer]:
    """What the champion says of each flight."""
    if following.model is None:
        raise HTTPException(503, "There is no champion yet.")
    model, version = following.model, following.version
    predicted = model.predict(model.prepare(flights)).tolist()
    return [
        {"probability": round(p, 6), "late": p > LATE_ABOVE, "version": version} for p in predicted
    ]


@app.post("/predict")
async def predict(flight: Flight) -> Answer:
    """Will this flight arrive more than 15 minutes late?"""
    return answers([flight])[0]


@app.post("/predict/batch")
async def predict_batch(flights: Flights) -> list[Answer]:
    """Will each of these flights arrive more than 15 minutes late?"""
    return answers(flights)


@app.get("/champion")
async def champion() -> dict[str, object]:
    """The version that answers, and its card."""
    card = following.model.card if following.model else {}
    return {"version": following.version, "month": card.get("month"), "card": card}
