"""Many devices in one process: each looks, downloads, verifies, swaps and proves as a device does.

They answer nobody, so that there is room for hundreds of them.
"""

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import aiohttp
from fastapi import Body
from pydantic import Field

from lab_services.patterns.serving.edge_prediction.updater import Updater
from lab_services.services import settings
from lab_services.services.service import Service

Seconds = Annotated[float, Field(ge=0.1, le=3600)]

devices: list[tuple[float, Updater]] = []
looking: list[asyncio.Task[None]] = []


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The connections to the store, and a folder for the devices' disks."""
    app.state.disks = Path(tempfile.mkdtemp())
    async with aiohttp.ClientSession(settings.text("STORE_URL")) as store:
        app.state.store = store
        yield
        stop()
    shutil.rmtree(app.state.disks)


app = Service("fleet", lifespan=resources)


@app.put("/fleet")
async def deploy(
    each: Annotated[int, Body(ge=0, le=1000)], intervals: Annotated[list[Seconds], Body()]
) -> None:
    """So many new devices for each interval between two looks; none are left of those before.

    Every device begins at a random moment of its first interval. Were they to look on the minute,
    the store would have to serve all of them within one second.
    """
    stop()
    shutil.rmtree(app.state.disks)
    drawn, key = random.Random(0), settings.text("SIGNING_KEY")
    for every in intervals:
        for _ in range(each):
            updater = Updater(app.state.disks / str(len(devices)), key)
            devices.append((every, updater))
            follow = updater.follow(app.state.store, every, first=drawn.uniform(0, every))
            looking.append(app.background(follow, may_end=True))


def stop() -> None:
    for task in looking:
        task.cancel()
    looking.clear()
    devices.clear()


@app.get("/fleet")
async def state() -> list[dict[str, Any]]:
    """For each device how often it looks, what it runs, and what came of each package."""
    return [
        {"every": every, "version": updater.version, "events": updater.events}
        for every, updater in devices
    ]
