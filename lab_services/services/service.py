"""What every service has: liveness, readiness, metrics, refusals that help."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Annotated, Any, NotRequired, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import Field
from starlette.middleware import Middleware
from typing_extensions import TypedDict

from lab_services.services import index
from lab_services.services.middleware import HeadAsGet, RequestSeconds
from lab_services.services.validation_errors import JsonRoute, Refusal, refuse

MAX_BODY_BYTES = 1 << 20
# For background tasks to end once they are cancelled. Whoever stops a service waits longer.
END_SECONDS = 2.0
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]

log = logging.getLogger(__name__)


class Status(TypedDict):
    """What a probe is told."""

    status: Annotated[str, Field(examples=["ready"])]
    reason: NotRequired[Annotated[str, Field(description="What died, where something did")]]


class Service(FastAPI):
    """A FastAPI application with the parts that all services share.

    `lifespan` is FastAPI's own: entered, with the service, before it is ready and left when it
    stops. /metrics tells the time the application took for each request, from its call by the
    server to the first byte handed back.
    """

    def __init__(self, title: str, lifespan: Lifespan, **options: Any) -> None:
        @asynccontextmanager
        async def running(_: FastAPI) -> AsyncIterator[None]:
            try:
                async with lifespan(self):
                    self.started = True
                    yield
                    self.started = False
                    await self._end_background()
            finally:
                # Where it did not even start, what it had begun is cancelled: no part has died.
                self._ending = True

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        seconds = Histogram(
            "request_seconds",
            "Time the application took for a request",
            ["path", "status"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        super().__init__(
            title=title,
            lifespan=running,
            max_body_size=MAX_BODY_BYTES,
            exception_handlers={RequestValidationError: refuse},
            middleware=[Middleware(HeadAsGet), Middleware(RequestSeconds, seconds=seconds)],
            # The pages that FastAPI makes of /openapi.json come from other hosts, and stay blank
            # where those are out of reach. The front page says what can be asked.
            docs_url=None,
            redoc_url=None,
            **options,
        )
        self.router.route_class = JsonRoute
        self.started = False
        self.died = ""
        self._background: set[asyncio.Task[Any]] = set()
        self._ending = False
        _add_operation(self)

    def post(
        self, path: str, *, responses: dict[int | str, Any] | None = None, **options: Any
    ) -> Callable[[Endpoint], Endpoint]:
        """As FastAPI's own, with the 422 on the OpenAPI page that this service really sends."""
        refused = {"model": Refusal, "description": "Which field, its limits and an example"}
        encoded = {"model": Refusal, "description": "The body has a content encoding"}
        told = {415: encoded, 422: refused, **(responses or {})}
        return super().post(path, responses=told, **options)

    def background(
        self, coroutine: Coroutine[Any, Any, Any], *, may_end: bool = False
    ) -> asyncio.Task[Any]:
        """Run it beside the requests until the service stops and cancels it.

        Where it raises, or is over before that, /ready answers 503 with the reason from then on,
        and the log says so: nobody would miss it otherwise. One that `may_end` may return, or be
        cancelled by who has started it.
        """
        task = asyncio.create_task(coroutine, name=getattr(coroutine, "__qualname__", None))
        self._background.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(partial(self._background_ended, may_end))
        return task

    def _background_ended(self, may_end: bool, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None and (may_end or self._ending):
            return
        how = f"died: {error!r}" if error else "was cancelled" if task.cancelled() else "has ended"
        self.died = f"{task.get_name()} {how}"
        log.error("a background task is over", exc_info=error, extra={"reason": self.died})

    async def _end_background(self) -> None:
        self._ending = True
        until = time.monotonic() + END_SECONDS
        while self._background:  # one cancellation may get lost, as where psycopg connects
            if time.monotonic() > until:
                names = sorted(task.get_name() for task in self._background)
                log.error("background tasks do not end: they are left", extra={"tasks": names})
                return
            for task in self._background:
                task.cancel()
            await asyncio.wait(self._background, timeout=0.1)


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
        """Whether to send it requests: not while it starts, nor once a part of it has died or it
        has been told to stop."""
        status: Status = {"status": "ready"}
        if getattr(request.state, "draining", False):
            status = {"status": "draining"}
        elif app.died:
            status = {"status": "failed", "reason": app.died}
        elif not app.started:
            status = {"status": "starting"}
        if status["status"] != "ready":
            response.status_code = 503
        return status

    @app.get("/metrics", tags=["operation"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counts and times, in the text format of Prometheus."""
        return Response(generate_latest(app.registry), media_type=CONTENT_TYPE_LATEST)
