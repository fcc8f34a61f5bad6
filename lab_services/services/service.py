"""What every service has: liveness, readiness, metrics, refusals that help."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property
from time import perf_counter
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import Field
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import TypedDict

from lab_services.services import index, settings
from lab_services.services.hot import JSON, RAISED, HotRoute, ShortWay, again
from lab_services.services.metrics import Histogram
from lab_services.services.micro_batching import Answer, Asked, Many, MicroBatcher, one_by_one
from lab_services.services.validation_errors import Refusal, refuse

MAX_BODY_BYTES = 1 << 20
TALLY_SECONDS = 0.1
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Lifespan = Callable[[], AbstractAsyncContextManager[None]]


class Status(TypedDict):
    """What a probe is told."""

    status: Annotated[str, Field(examples=["ready"])]


class Service(FastAPI):
    """A FastAPI application with the parts that all services share.

    `resources` is entered before the service is ready and left when it stops. /metrics tells the
    time the application took for each request, from its call by the server to the first byte handed
    back.

    Endpoints that take one JSON body are served by a short way (see `hot`); the environment
    FAST=0 sends them the ordinary way. Middleware added here is not on the short way.
    """

    def __init__(self, title: str, resources: Lifespan, **options: Any) -> None:
        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            async with resources():
                tallying = asyncio.create_task(self._tally())
                self.started = True
                yield
                self.started = False
                tallying.cancel()

        super().__init__(
            title=title,
            lifespan=lifespan,
            max_body_size=MAX_BODY_BYTES,
            exception_handlers={RequestValidationError: refuse},
            # The pages that FastAPI makes of /openapi.json come from other hosts, and stay blank
            # where those are out of reach. The front page says what can be asked.
            docs_url=None,
            redoc_url=None,
            **options,
        )
        self.started = False
        self.router.route_class = HotRoute
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.seconds = Histogram(
            self.registry,
            "request_seconds",
            "Time the application took for a request",
            bounds=_SECONDS,
            labels=["path", "status"],
        )
        self.fast = settings.switch("FAST", default=True)
        _add_operation(self)

    def post(
        self, path: str, *, responses: dict[int | str, Any] | None = None, **options: Any
    ) -> Callable[[Endpoint], Endpoint]:
        """As FastAPI's own, with the 422 on the OpenAPI page that this service really sends."""
        refused = {"model": Refusal, "description": "Which field, its limits and an example"}
        encoded = {"model": Refusal, "description": "The body has a content encoding"}
        told = {415: encoded, 422: refused, **(responses or {})}
        return super().post(path, responses=told, **options)

    def predict_batched(self, many: Many[Asked, Answer]) -> Callable[[Asked], Awaitable[Answer]]:
        """A function of one from a function of many.

        With BATCH=1 in the environment, calls that wait at the same moment share a call of `many`.
        """
        together = settings.switch("BATCH", default=False)
        return MicroBatcher(many, self.registry) if together else one_by_one(many)

    async def _tally(self) -> None:
        while True:
            await asyncio.sleep(TALLY_SECONDS)
            self.seconds.tally()

    @cached_property
    def _short_ways(self) -> dict[str, tuple[ShortWay, Callable[[float], None]]]:
        """By path: the short way, and what its time is told to."""
        return {
            route.path: (route.short_way, self.seconds.series(route.path, "200").observe)
            for route in self.routes
            if self.fast and isinstance(route, HotRoute) and route.short_way
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        began = perf_counter()
        found = self._short_ways.get(scope["path"])
        if found and ShortWay.takes(scope):
            short_way, observe = found
            message = await receive()
            if (value := short_way.read(message)) is not None:
                try:
                    answer = short_way.encode(await short_way.endpoint(value))
                except Exception as error:  # noqa: BLE001  raised again by the route
                    scope[RAISED] = error
                else:
                    observe(perf_counter() - began)
                    headers = [(b"content-length", b"%d" % len(answer)), JSON]
                    await send({"type": "http.response.start", "status": 200, "headers": headers})
                    await send({"type": "http.response.body", "body": answer})
                    return
            receive = again(message, receive)
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        await self._ordinary_way(scope, receive, send, began)

    async def _ordinary_way(self, scope: Scope, receive: Receive, send: Send, began: float) -> None:
        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = getattr(scope.get("route"), "path", "other")
                series = self.seconds.series(path, str(message["status"]))
                series.observe(perf_counter() - began)
            await send(message)

        await super().__call__(scope, receive, timed)


def _add_operation(app: Service) -> None:
    @app.get("/", include_in_schema=False)
    async def front() -> HTMLResponse:
        return HTMLResponse(index.page(app.title, app.routes))

    @app.get("/live", tags=["operation"])
    async def live() -> Status:
        """Whether the process answers at all. Where it does not, restart it."""
        return {"status": "live"}

    @app.get("/ready", tags=["operation"], responses={503: {"model": Status}})
    async def ready(request: Request, response: Response) -> Status:
        """Whether to send it requests: not while it starts, nor once it has been told to stop."""
        if getattr(request.state, "draining", False):
            response.status_code = 503
            return {"status": "draining"}
        if not app.started:
            response.status_code = 503
            return {"status": "starting"}
        return {"status": "ready"}

    @app.get("/metrics", tags=["operation"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counts and times, in the text format of Prometheus."""
        return Response(generate_latest(app.registry), media_type=CONTENT_TYPE_LATEST)
