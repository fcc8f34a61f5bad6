"""Answers with what a test wants to know of the replica that it has reached."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

# Fails where a service does not wait for what it depends on; first, before slow imports.
greeting = Path(os.environ["GREETING"]).read_text()

import redis.asyncio  # noqa: E402

store = redis.asyncio.from_url(os.environ["STORE"])
hoard: list[bytes] = []


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    status, content = await answer(scope)
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def answer(scope: dict[str, Any]) -> tuple[int, Any]:
    match scope["path"]:
        case "/ready":
            return (503 if scope["state"].get("draining") else 200), {}
        case "/slow":
            await asyncio.sleep(0.3)
            return 200, {}
        case "/hoard":  # more memory than the limit
            hoard.extend(bytes(os.urandom(1024) * 1024 * 16) for _ in range(32))
            return 200, {}
        case "/burn":
            wall, cpu = time.monotonic(), time.process_time()
            while time.process_time() < cpu + 0.1:
                pass
            return 200, {"cores": 0.1 / (time.monotonic() - wall)}
        case "/environment":
            return 200, {
                "environment": dict(os.environ),
                "folder": os.getcwd(),
                "arguments": sys.argv,
            }
    count = await store.incr("count")
    return 200, {
        "pid": os.getpid(),
        "version": os.environ["VERSION"],
        "greeting": greeting,
        "count": count,
    }
