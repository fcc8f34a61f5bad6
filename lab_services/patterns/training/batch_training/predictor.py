"""The predictor: serves the version that the registry calls champion, and follows that name."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from fastapi import HTTPException
from psycopg_pool import AsyncConnectionPool
from typing_extensions import TypedDict

from lab_services.models import store
from lab_services.services import settings
from lab_services.services.predictor import Flight, Flights, Model
from lab_services.services.service import Service

LATE_ABOVE = 0.3
# MLflow's own tables: its library would answer the same, for 130 MB in every replica.
_CHAMPION = """SELECT v.version, v.source FROM model_versions v
    JOIN registered_model_aliases a ON a.name = v.name AND a.version = v.version
    WHERE a.alias = 'champion' AND a.name = %s"""

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
    async def running(self, _: Service) -> AsyncIterator[None]:
        """Follow the name while the service runs."""
        every = settings.number("FOLLOW_SECONDS", 0.25, low=0.05, high=3600)
        url = settings.text("DATABASE_URL")
        async with AsyncConnectionPool(url, min_size=1, max_size=1, open=False) as pool:
            following = asyncio.create_task(self._follow(pool, every))
            yield
            following.cancel()

    async def _follow(self, pool: AsyncConnectionPool, every: float) -> None:
        model = settings.text("REGISTERED", "late")
        while True:
            try:
                async with pool.connection() as database:
                    found = await (await database.execute(_CHAMPION, [model])).fetchone()
                if found:
                    await self.serve(*found)
            except psycopg.errors.UndefinedTable:
                pass  # nothing was ever registered
            except (psycopg.Error, store.ModelMissing, store.ModelDamaged) as error:
                # What serves stays in place.
                log.warning("the champion cannot be loaded", extra={"why": str(error)})
            await asyncio.sleep(every)

    async def serve(self, version: int, source: str) -> None:
        """Load this version where it is another one; only a whole one takes the place."""
        if version != self.version:
            os.environ["MODEL"] = source  # where a Model looks for its file
            fresh = Model()
            await asyncio.to_thread(fresh.load)
            self.model, self.version = fresh, version


following = Following()
app = Service("batch-training predictor", lifespan=following.running)


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
    """The version that answers, and the month it is of."""
    month = following.model.card["month"] if following.model else None
    return {"version": following.version, "month": month}
