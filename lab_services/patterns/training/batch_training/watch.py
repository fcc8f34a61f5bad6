"""The watch: four alarms on one job, side by side, from outside of what they watch.

| alarm     | goes off when                                             |
|-----------|-----------------------------------------------------------|
| report    | a run has written down that it failed or was refused      |
| exit code | the scheduler has seen a run end with another code than 0 |
| probe     | the scheduler does not answer                             |
| absence   | no run has ended well for `stale_after` seconds           |
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiohttp
import psycopg
from psycopg_pool import AsyncConnectionPool
from pydantic import Field
from typing_extensions import TypedDict

from lab_services.patterns.training.batch_training import tables
from lab_services.services import settings
from lab_services.services.service import Service

ALARMS = ("report", "exit code", "probe", "absence")
EVERY = 0.1


class Armed(TypedDict):
    """Which model's runs to watch, and how old its last success may be."""

    model: Annotated[str, Field(pattern="^[a-z-]+$", examples=["late"])]
    stale_after: Annotated[float, Field(gt=0, le=86_400, examples=[1.5])]


class Watch:
    """When each alarm first went off since it was armed, and the age of the last success."""

    def __init__(self) -> None:
        self.armed: Armed = {"model": "", "stale_after": 1.0}
        self.since = 0.0
        self.down = False
        self.fired: dict[str, float] = {}
        self.ages: list[tuple[float, float]] = []

    def arm(self, armed: Armed) -> None:
        self.armed, self.since = armed, time.time()
        self.fired, self.ages = {}, []

    def saw(self, now: float, failed: bool, ended_badly: bool, down: bool, last: float) -> None:
        """Take one look into account; `last` is the time of the last success."""
        age = now - max(last, self.since)
        self.ages.append((now, age))
        gone_off = {
            "report": failed,
            "exit code": ended_badly,
            "probe": down,
            "absence": age > self.armed["stale_after"],
        }
        for alarm in (alarm for alarm, on in gone_off.items() if on):
            self.fired.setdefault(alarm, now)

    @asynccontextmanager
    async def running(self, _: Service) -> AsyncIterator[None]:
        """Look and probe while the service runs."""
        with tables.connect() as database:
            tables.create(database)
        # Apart from one another: a probe of a dead host may take its whole second.
        tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._probe())]
        yield
        for task in tasks:
            task.cancel()

    async def _look(self) -> None:
        url = settings.text("DATABASE_URL")
        row: Any = (0, 0, 0.0)
        async with AsyncConnectionPool(url, min_size=1, max_size=1, open=False, timeout=1) as pool:
            while True:
                since = self.since
                asked = {"model": self.armed["model"], "since": since}
                # Where the database does not answer there is no news, and the age grows.
                with contextlib.suppress(psycopg.Error):
                    async with pool.connection() as database:
                        row = await (await database.execute(_QUESTION, asked)).fetchone()
                if self.armed["model"] and since == self.since:  # else it was armed meanwhile
                    self.saw(time.time(), row[0] > 0, row[1] > 0, self.down, row[2])
                await asyncio.sleep(EVERY)

    async def _probe(self) -> None:
        url = f"{settings.text('SCHEDULER_URL')}/ready"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session:
            while True:
                try:
                    async with session.get(url) as answer:
                        self.down = answer.status != 200
                except (aiohttp.ClientError, TimeoutError):
                    self.down = True
                await asyncio.sleep(EVERY)


_QUESTION = """SELECT
    (SELECT count(*) FROM job_runs WHERE model = %(model)s AND status IN ('failed', 'refused')
        AND extract(epoch FROM ended) > %(since)s),
    (SELECT count(*) FROM firings WHERE model = %(model)s AND exit_code <> 0
        AND extract(epoch FROM at) > %(since)s),
    (SELECT coalesce(max(extract(epoch FROM ended)), 0)::float FROM job_runs
        WHERE model = %(model)s AND status = 'succeeded')"""

watch = Watch()
app = Service("batch-training watch", lifespan=watch.running)


@app.post("/arm")
async def arm(armed: Armed) -> dict[str, float]:
    """Forget what was, and watch these runs from now on."""
    watch.arm(armed)
    return {"since": watch.since}


@app.get("/alarms")
async def alarms() -> dict[str, object]:
    """When each alarm first went off, and every look: time, seconds since the last success."""
    return {"since": watch.since, "fired": watch.fired, "ages": watch.ages}
