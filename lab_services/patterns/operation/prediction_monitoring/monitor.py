"""The monitor: it reads the prediction log, compares it with what is usual, and is scraped."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np
import orjson
from prometheus_client import CollectorRegistry, Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError
from scipy.stats import ks_2samp

from lab_services.models import payloads
from lab_services.models.features import CODED, FEATURES
from lab_services.patterns.operation.prediction_monitoring import drift
from lab_services.services import settings
from lab_services.services.predictor import Model
from lab_services.services.service import Service

STREAM = "predictions"
WINDOW = settings.number("WINDOW_SECONDS", 2, low=0.5, high=3600)
EVERY = settings.number("EVERY_SECONDS", 0.5, low=0.1, high=3600)
LATE_ABOVE = settings.number("LATE_ABOVE", 0.3, low=0, high=1)
REFERENCE_FLIGHTS = 5000
# Fewer predictions have a PSI above 0.25 by chance alone; the gauges then keep what they told last.
LEAST = 150


class Prediction(NamedTuple):
    """One line of the log."""

    at: float  # Unix seconds
    raw: bytes
    flight: Mapping[str, Any]
    probability: float


class Monitor:
    """What is usual, the predictions of the last WINDOW seconds, and the gauges."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        self.psi = gauge("drift_psi", "Population stability index against the reference", "column")
        self.ks = gauge("drift_ks", "Kolmogorov-Smirnov distance from the reference", "column")
        self.zeros = gauge("zero_share", "Share of zeros", "column")
        self.usual_zeros = gauge("zero_share_reference", "Share of zeros that is usual", "column")
        self.late = gauge("late_share", "Share of flights called late")
        self.usual_late = gauge("late_share_reference", "Share called late that is usual")
        self.repeated = gauge("repeated_share", "Share of inputs that are copies of another")
        self.predictions = gauge("window_predictions", "Predictions in the window")
        self.looked = gauge("monitor_looked_at", "When the monitor last looked, in Unix seconds")
        self.window: deque[Prediction] = deque()
        self.last = ""

    def learn(self, columns: Mapping[str, Any]) -> None:
        """Take these columns, the predictions' `probability` among them, as what is usual."""
        self.columns = columns
        self.reference = drift.Reference(columns)
        self.usual_late.set(float((np.asarray(columns["probability"]) > LATE_ABOVE).mean()))
        for name in columns:
            if name not in CODED:
                self.usual_zeros.labels(name).set(float((np.asarray(columns[name]) == 0).mean()))

    async def read(self, redis: "Redis", now: float) -> None:
        """Take in what has been logged since the last time, and let go what is too old."""
        begin = self.last or f"{int((now - WINDOW) * 1000)}-0"
        found: Any = await redis.xread({STREAM: begin})
        for _, entries in found or ():
            for ident, line in entries:
                self.last = ident.decode()
                self.window.append(
                    Prediction(
                        int(self.last.split("-")[0]) / 1000,
                        line[b"flight"],
                        orjson.loads(line[b"flight"]),
                        float(line[b"probability"]),
                    )
                )
        while self.window and self.window[0].at < now - WINDOW:
            self.window.popleft()

    def look(self, now: float) -> None:
        """Compare the window with the reference and tell the gauges."""
        self.looked.set(now)
        self.predictions.set(len(self.window))
        if len(self.window) < LEAST:
            return
        probabilities = np.array([prediction.probability for prediction in self.window])
        self.late.set(float((probabilities > LATE_ABOVE).mean()))
        self.repeated.set(drift.repeated_share([prediction.raw for prediction in self.window]))
        for name in self.columns:
            values = (
                probabilities
                if name == "probability"
                else np.array([prediction.flight[name] for prediction in self.window])
            )
            counted = self.reference.count(name, values)
            self.psi.labels(name).set(float(drift.psi(self.reference.counts[name], counted)))
            if name not in CODED:
                distance = ks_2samp(self.columns[name], values, method="asymp").statistic
                self.ks.labels(name).set(float(distance))
                self.zeros.labels(name).set(float((values == 0).mean()))


def usual(model: Model) -> dict[str, Any]:
    """Flights of October, and what the model says of them."""
    flights: Any = payloads.flights(REFERENCE_FLIGHTS, months=[10])
    columns = {name: np.array([flight[name] for flight in flights]) for name in FEATURES}
    return {**columns, "probability": model.predict(model.prepare(flights))}


async def watch(monitor: Monitor, redis: "Redis") -> None:
    """Look every EVERY seconds. While the log cannot be read, `monitor_looked_at` stands still."""
    while True:
        now = time.time()
        try:
            await monitor.read(redis, now)
        except (RedisError, OSError):
            pass
        else:
            monitor.look(now)
        await asyncio.sleep(EVERY)


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """The reference, and the watch."""
    model = Model()
    model.load()
    monitor.learn(usual(model))
    async with Redis.from_url(settings.text("LOG_URL")) as redis:
        watching = asyncio.create_task(watch(monitor, redis))
        yield
        watching.cancel()


app = Service("monitor", lifespan=resources)
monitor = Monitor(app.registry)
