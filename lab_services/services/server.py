"""Serve an application and leave without losing a request.

    python -m lab_services.services.server MODULE:app

Environment: HOST (127.0.0.1), PORT (8000), DRAIN_SECONDS (0), LOG_LEVEL (INFO), and GRACE_SECONDS
(10), after which whoever sent SIGTERM will send SIGKILL: a Compose file's `stop_grace_period`.

What happens on SIGTERM:

1. /ready answers 503 at once, so that a proxy that asks stops sending. Everything else is still
   answered, and each answer carries `connection: close`, so that clients with open connections
   look for another replica while this one still serves.
2. After DRAIN_SECONDS, as soon as nothing is in work or unread, no connection is accepted any
   more, idle ones are closed, and what is in flight is finished.
3. The process exits with 0. What is not finished after seven tenths of GRACE_SECONDS, such as half
   a body whose sender holds it open, is cut off, and the log says so: SIGKILL would cut off
   everything, and say nothing. Nor does a task that ignores its cancellation hold the process.

uvicorn alone starts with step 2, which cuts off whoever is about to use an open connection, and
ends by the signal itself. A second SIGTERM, or Ctrl-C, goes to step 2 at once.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from lab_services.errors import LabError
from lab_services.services import settings

# Longer than a proxy keeps an idle connection (Envoy: one hour), so that it is never this side
# that closes one just when a request is on its way.
KEEP_ALIVE_SECONDS = 65 * 60
# The share of the grace period after which what is in flight is cut off; the rest is for the exit.
CUT_OFF = 0.7
# For what is left when all is over to take its cancellation; the service has given its tasks more.
LEFT_SECONDS = 0.5
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

log = logging.getLogger("lab_services.services.server")


def _logging(level: str) -> dict[str, Any]:
    """One JSON object a line on standard output, for this service and for uvicorn."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": JsonFormatter,
                "fmt": ["levelname", "name", "message"],
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": "time",
                # uvicorn's message once more, for terminals.
                "reserved_attrs": [*RESERVED_ATTRS, "color_message"],
            }
        },
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "json",
            }
        },
        "root": {"handlers": ["stdout"], "level": level},
    }


class DrainingServer(uvicorn.Server):
    """uvicorn's server with the first of the three steps above."""

    def __init__(
        self, config: uvicorn.Config, drain_seconds: float, grace_seconds: float = 10.0
    ) -> None:
        super().__init__(config)
        self.drain_seconds = drain_seconds
        self.grace_seconds = grace_seconds
        self.stops_at: float | None = None
        self.announced = False
        self.idle_ticks = 0

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await super().serve(sockets)
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in left:
                task.cancel()
            _, deaf = await asyncio.wait(left, timeout=LEFT_SECONDS)
            if deaf:
                _end_without(deaf)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there now stays: no use in searching it for garbage while requests wait.
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called on SIGTERM and SIGINT, in place of uvicorn's own, which would stop at once."""
        if self.stops_at is not None or sig == signal.SIGINT or not self.started:
            self.should_exit = True
            return
        self.stops_at = time.monotonic() + self.drain_seconds
        self.lifespan.state["draining"] = True
        close = (b"connection", b"close")
        self.config.encoded_headers.append(close)
        self.server_state.default_headers = [*self.server_state.default_headers, close]

    async def on_tick(self, counter: int) -> bool:
        if self.stops_at is not None:
            if not self.announced:
                # Not in the signal's handler, which may have interrupted a line half written.
                log.info("draining", extra={"seconds": self.drain_seconds})
                self.announced = True
            # Requests may lie unread on open connections, and closing one of those would lose them.
            # Between two ticks all are read: idle at both, there is none.
            self.idle_ticks = 0 if self.server_state.tasks else self.idle_ticks + 1
            over = time.monotonic() - self.stops_at
            told_for = over + self.drain_seconds
            if over >= 0 and self.idle_ticks >= 2:
                self.should_exit = True
            elif told_for >= CUT_OFF * self.grace_seconds:
                log.warning(
                    "the drain's limit is over: what is unfinished is cut off",
                    extra={
                        "seconds": round(told_for, 1),
                        "grace_seconds": self.grace_seconds,
                        "requests": len(self.server_state.tasks),
                    },
                )
                self.config.timeout_graceful_shutdown = 0
                self.should_exit = True
        return await super().on_tick(counter)


def _end_without(deaf: set[asyncio.Task[Any]]) -> NoReturn:
    """End the process although tasks go on: asyncio's own end would wait for them for ever, until
    SIGKILL. Everything else has ended in order by now."""
    names = sorted(task.get_name() for task in deaf)
    log.error("tasks ignore that they are cancelled: it ends without them", extra={"tasks": names})
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def serve(app: str) -> None:
    """Serve `MODULE:app` until told to stop. Raises LabError for a setting out of range."""
    grace = settings.number("GRACE_SECONDS", 10, low=1, high=3600)
    drain = settings.number("DRAIN_SECONDS", 0, low=0, high=CUT_OFF * grace)
    config = uvicorn.Config(
        app,
        host=settings.text("HOST", "127.0.0.1"),
        port=int(settings.number("PORT", 8000, low=0, high=65535)),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_config=_logging(settings.choice("LOG_LEVEL", "INFO", LEVELS)),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(CUT_OFF * grace),  # after Ctrl-C, which waits for no drain
    )
    DrainingServer(config, drain, grace).run()


def main() -> None:
    if len(sys.argv) != 2 or ":" not in sys.argv[1]:
        sys.exit("usage: python -m lab_services.services.server MODULE:app")
    # As uvicorn's own command does: an application beside the working folder is found.
    sys.path.insert(0, os.getcwd())
    try:
        serve(sys.argv[1])
    except LabError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
