"""The predictor: a service that holds a model."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from pydantic import Field
from typing_extensions import TypedDict

from lab_services.models import features, store
from lab_services.models.features import Flight
from lab_services.services import settings
from lab_services.services.metrics import Histogram
from lab_services.services.service import Service

__all__ = ["Flight", "Flights", "Forecast", "Model", "Probabilities", "Rows", "create_app"]

MAX_BATCH = 1000
_ROWS_IN_A_RUN = [2.0**power for power in range(11)]
Rows = NDArray[np.float32]
Probabilities = NDArray[np.float32]
Flights = Annotated[list[Flight], Field(min_length=1, max_length=MAX_BATCH)]

log = logging.getLogger(__name__)


class Forecast(TypedDict):
    """What is expected of one flight."""

    probability: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            examples=[0.4127],
            description="Probability to arrive more than 15 minutes late",
            json_schema_extra={"unit": "share"},
        ),
    ]
    late: Annotated[
        bool, Field(examples=[True], description="Whether that is above the service's threshold")
    ]


class Model:
    """The model of this service: MODEL names its file, with its card beside it.

    THREADS is how many threads one prediction may use. With BATCH=1, requests that are waiting
    at the same moment are answered by one run of the model.
    """

    def __init__(self) -> None:
        self.threads = int(settings.number("THREADS", 1, low=1, high=256))
        self.batching = settings.switch("BATCH", default=False)
        self.card: dict[str, Any] = {}

    def load(self, registry: CollectorRegistry) -> None:
        """Check the file's hash and load it; batches are counted in `registry`.

        Raises ModelMissing, ModelDamaged or LabError.
        """
        began = perf_counter()
        path = Path(settings.text("MODEL"))
        self.card = store.verify(path)
        self._codes = features.Codes(**self.card["codes"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._batcher = Batcher(self._infer, registry) if self.batching else None
        # The first run of a session takes many times as long as the others.
        self._session.run(None, {"flights": features.prepare([features.EXAMPLE], self._codes)})
        log.info(
            "model loaded",
            extra={
                "model": self.card["name"],
                "sha256": self.card["sha256"],
                "threads": self.threads,
                "batching": self.batching,
                "seconds": round(perf_counter() - began, 3),
            },
        )

    def prepare(self, flights: Sequence[Flight]) -> Rows:
        """Turn flights into the rows of numbers that the model was trained on."""
        return features.prepare(flights, self._codes)

    async def predict(self, rows: Rows) -> Probabilities:
        """The probability to be late for each row: shape (rows,)."""
        return await self._batcher(rows) if self._batcher else self._infer(rows)

    def _infer(self, rows: Rows) -> Probabilities:
        # In the event loop: a row takes less time than handing it to a thread and back.
        answer: Probabilities = self._session.run(["probabilities"], {"flights": rows})[0]
        return answer[:, 1]


class Batcher:
    """Gather the calls that are waiting in one turn of the event loop into one run.

    Nobody waits for a batch to fill: the run starts once every request that had already arrived
    has been read.
    """

    def __init__(self, infer: Callable[[Rows], Probabilities], registry: CollectorRegistry) -> None:
        self._infer = infer
        self._rows = Histogram(registry, "batch_rows", "Rows that one run answered", _ROWS_IN_A_RUN)
        self._waiting: list[tuple[Rows, asyncio.Future[Probabilities]]] = []

    def __call__(self, rows: Rows) -> asyncio.Future[Probabilities]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Probabilities] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((rows, future))
        return future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        open_ = [(rows, future) for rows, future in waiting if not future.done()]
        if not open_:
            return
        together = np.concatenate([rows for rows, _ in open_])
        self._rows.series().observe(len(together))
        self._rows.tally()
        try:
            answers = self._infer(together)
        except Exception as error:  # noqa: BLE001  each of those who wait gets it
            for _, future in open_:
                future.set_exception(error)
            return
        begin = 0
        for rows, future in open_:
            future.set_result(answers[begin : begin + len(rows)])
            begin += len(rows)


def create_app(title: str, model: Model) -> Service:
    """A service that loads `model` before it is ready and shows its card at /model.

    >>> model = Model()
    >>> app = create_app("web-single", model)
    >>> @app.post("/predict")
    ... async def predict(flight: Flight) -> Forecast: ...
    """

    @asynccontextmanager
    async def loaded() -> AsyncIterator[None]:
        model.load(app.registry)
        yield

    app = Service(title, loaded)

    @app.get("/model", tags=["operation"])
    async def card() -> dict[str, Any]:
        """The card of the model that answers: its data, features with units, metrics, hash."""
        return model.card

    return app
