"""The contract of the fleet, asked of every service below FLEET: a job, as a build server has it.

Each service is loaded, served on a free port and asked over HTTP. Prints one JSON object: for each
folder which of the five parts of the contract hold.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import orjson
import uvicorn

from lab_services.models.features import EXAMPLE
from lab_services.patterns.serving.serving_template import stamped
from lab_services.services import settings

Session = aiohttp.ClientSession
Lines = list[logging.LogRecord]


async def health(service: Session, log: Lines) -> bool:
    """It says whether it is ready, for proxies."""
    async with service.get("/ready") as answer:
        return answer.status == 200 and await answer.json() == {"status": "ready"}


async def metadata(service: Session, log: Lines) -> bool:
    """It says who it is, for whoever has to look for a fault."""
    async with service.get("/metadata") as answer:
        return answer.status == 200 and {
            "service", "owner", "release", "model", "sha256",
        } <= (await answer.json()).keys()  # fmt: skip


async def predict(service: Session, log: Lines) -> bool:
    """It answers with the fields that callers read, in the units that they expect."""
    async with service.post("/predict", json=EXAMPLE) as answer:
        if answer.status != 200:
            return False
        found = await answer.json()
    return isinstance(found.get("late"), bool) and 0 <= found.get("probability", -1) <= 1


async def error_shape(service: Session, log: Lines) -> bool:
    """A wrong request is refused with the field that is wrong."""
    wrong = {name: value for name, value in EXAMPLE.items() if name != "rain"}
    async with service.post("/predict", json=wrong) as answer:
        return answer.status == 422 and (await answer.json())["detail"][0]["field"] == "rain"


async def log_fields(service: Session, log: Lines) -> bool:
    """One line for a prediction, with the fields that the fleet's monitoring counts."""
    log.clear()
    async with service.post("/predict", json=EXAMPLE) as answer:
        await answer.read()
    return len(log) == 1 and {"service", "release", "probability"} <= vars(log[0]).keys()


PARTS: dict[str, Callable[[Session, Lines], Awaitable[bool]]] = {
    "health": health,
    "metadata": metadata,
    "predict": predict,
    "error shape": error_shape,
    "log fields": log_fields,
}


class Listening(logging.Handler):
    """Keeps what one service writes."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Lines = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record)


async def check(folder: Path, ending: list[asyncio.Task[None]]) -> dict[str, bool]:
    """Which parts of the contract a service keeps; none where it does not start.

    Its server is told to end and added to `ending`: nobody need wait for it yet.
    """
    try:
        app = stamped.load(folder).app
    except SyntaxError:  # what a merge with a conflict leaves is no Python
        return dict.fromkeys(PARTS, False)
    listening, logger = Listening(), logging.getLogger(app.title)
    logger.setLevel(logging.INFO)
    logger.handlers = [listening]
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, lifespan="on", log_config=None, access_log=False)
    )
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        if not server.started:
            return dict.fromkeys(PARTS, False)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with Session(f"http://127.0.0.1:{port}") as session:
            return {part: await asks(session, listening.lines) for part, asks in PARTS.items()}
    finally:
        server.should_exit = True
        ending.append(serving)


async def check_all(fleet: Path) -> dict[str, dict[str, bool]]:
    """`check` for every folder below `fleet` that holds a module, by its path."""
    folders = sorted({module.parent for module in fleet.rglob("*.py")})
    ending: list[asyncio.Task[None]] = []
    found = {str(folder.relative_to(fleet)): await check(folder, ending) for folder in folders}
    await asyncio.gather(*ending)
    return found


if __name__ == "__main__":
    found = asyncio.run(check_all(Path(settings.text("FLEET"))))
    sys.stdout.write(orjson.dumps(found).decode() + "\n")
