"""Middleware of all services: plain ASGI, which costs less than Starlette's base class."""

from time import perf_counter

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """HEAD is answered wherever GET is. The server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, send)


class RequestSeconds:
    """Observes the time of each request up to the first byte of its answer.

    The labels of `seconds` are the route's path, with its parameters' names, and the status.
    """

    def __init__(self, app: ASGIApp, seconds: Histogram) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = perf_counter()
        started = False

        def observe(status: int) -> None:
            path = getattr(scope.get("route"), "path", "other")
            self.seconds.labels(path, status).observe(perf_counter() - began)

        async def observed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                observe(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, observed)
        except Exception:
            if not started:  # Starlette makes a 500 of it further out
                observe(500)
            raise
