"""The device: its model answers where the data comes about, within a limit of memory and processor.

`/predict` asks nobody. `/hybrid` asks the server about the flights of which the device is unsure.
"""

import asyncio
import re
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import aiohttp
from fastapi import HTTPException, Query, Response

from lab_services.errors import LabError
from lab_services.patterns.serving.edge_prediction.updater import OFFLINE, Updater
from lab_services.services import settings
from lab_services.services.cpu_throttle import CpuThrottle
from lab_services.services.predictor import Flight, Forecast
from lab_services.services.service import Service

LATE_ABOVE = settings.number("LATE_ABOVE", 0.3, low=0, high=1)
# How long a device waits for the server, and how long it then leaves it alone (seconds).
PATIENCE = settings.number("PATIENCE", 0.25, low=0.001, high=60)
ALONE = settings.number("ALONE", 1, low=0, high=3600)
Band = Annotated[float, Query(ge=0, le=1)]

throttle = CpuThrottle()
updater = Updater(
    Path(settings.text("DATA")),
    settings.text("SIGNING_KEY"),
    careful=settings.switch("CAREFUL", default=True),
)
online_at = 0.0  # when it is worth while to ask the server again


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The package on the disk, the connections to store and server, and the limit of memory."""
    updater.start()
    every = settings.number("CHECK_SECONDS", 0.5, low=0.05, high=86_400)
    limit = aiohttp.ClientTimeout(total=2)
    async with (
        aiohttp.ClientSession(settings.text("STORE_URL"), timeout=limit) as store,
        aiohttp.ClientSession(settings.text("CLOUD_URL"), timeout=limit) as cloud,
    ):
        app.state.cloud = cloud
        # The event loop makes the threads that ask for addresses, and their stacks, at first use.
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        app.state.limit = limit_memory(settings.number("MEMORY_MB", 16, low=1, high=100_000))
        following = asyncio.create_task(updater.follow(store, every))
        yield
        following.cancel()


app = Service("device", lifespan=resources)


def limit_memory(room: float) -> int:
    """Let this process have so many MB of writable memory more than it has, and not one more.

    The kernel then refuses what lies beyond, here as in a container. Gives the limit in bytes.
    Raises LabError where the kernel does not tell what a process has.
    """
    limit = held() + int(room * 1e6)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return limit


def held() -> int:
    """Bytes of writable memory that this process has been given. Raises LabError."""
    try:
        told = Path("/proc/self/status").read_text()
    except OSError as error:
        raise LabError(
            "This machine has no /proc, so no limit of memory can be set.",
            "Let the stack run in containers: runtime docker.",
        ) from error
    found = re.search(r"VmData:\s+(\d+) kB", told)
    assert found, told
    return int(found[1]) * 1024


@app.post("/predict")
async def predict(flight: Flight, response: Response) -> Forecast:
    """Will this flight arrive more than 15 minutes late? Nobody else is asked."""
    return await own(flight, response)


@app.post("/hybrid")
async def hybrid(flight: Flight, response: Response, band: Band = 0.05) -> Forecast:
    """The same; where the device is less than `band` from its threshold, the server decides."""
    global online_at
    forecast = await own(flight, response)
    unsure = abs(forecast["probability"] - LATE_ABOVE) < band
    if not unsure or time.monotonic() < online_at:
        return forecast
    try:
        async with asyncio.timeout(PATIENCE):
            async with app.state.cloud.post("/predict", json=flight) as answer:
                answer.raise_for_status()
                better: Forecast = await answer.json()
    except OFFLINE:
        # The next ones do not wait: one in a while finds out whether the network is back.
        online_at = time.monotonic() + ALONE
        return forecast
    response.headers["x-answered-by"] = "server"
    return better


async def own(flight: Flight, response: Response) -> Forecast:
    """What the device itself says, at its share of a core."""
    async with throttle:
        model = updater.model
        if model is None:
            raise HTTPException(503, "This device has no model that works.")
        probability = round(model.probability(flight), 6)
    response.headers["x-answered-by"] = f"device, version {model.version}"
    return {"probability": probability, "late": probability > LATE_ABOVE}


@app.get("/device")
async def state() -> dict[str, Any]:
    """What this device runs, what came of each package, and its memory in bytes."""
    return {
        "version": updater.version,
        "events": updater.events,
        "memory": held(),
        "limit": app.state.limit,
    }
