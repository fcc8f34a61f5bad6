"""What the tests send to: answers, refuses, hangs and tells what it has seen."""

import asyncio
import json

seen = []
two = asyncio.Semaphore(2)  # of its requests are served at a time


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    while True:
        part = await receive()
        body += part["body"]
        if not part.get("more_body"):
            break
    path, status, answer = scope["path"], 200, b'{"late": false}'
    if path == "/seen":
        answer = json.dumps(seen).encode()
        seen.clear()
    else:
        seen.append((scope["client"][1], path, body.decode()))
    if path == "/overloaded":
        status, answer = 503, b"too many"
    elif path == "/hang":
        await asyncio.sleep(60)
    elif path == "/slow":
        await asyncio.sleep(0.05)
    elif path == "/two":
        async with two:
            await asyncio.sleep(0.02)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-length", str(len(answer)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": answer})
