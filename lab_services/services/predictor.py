"""The predictor: a service that holds a model."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, ParamSpec, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypedDict

from lab_services.models import features, store
from lab_services.models.features import Flight
from lab_services.services import settings
from lab_services.services.service import Service

__all__ = ["Flight", "Flights", "Forecast", "Model", "Rows", "create_app", "one_at_a_time"]

MAX_BATCH = 1000
Rows = NDArray[np.float32]
Probabilities = NDArray[np.float32]
Given = ParamSpec("Given")
Result = TypeVar("Result")
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
    """A model of this service: the file at `path`, with its card beside it; MODEL names one if not.

    THREADS is how many threads one prediction may use.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self.threads = int(settings.number("THREADS", 1, low=1, high=256))
        self.card: dict[str, Any] = {}

    def load(self) -> None:
        """Check the file's hash and load it. Raises ModelMissing, ModelDamaged or LabError.

        Where another model takes its place meanwhile, it is that one, with its own card.
        """
        began = perf_counter()
        path = Path(self._path or settings.text("MODEL"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        replaced = True
        while replaced:
            self.card = store.verify(path)
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            replaced = store.card_of(path) != self.card
        self._codes = features.Codes(**self.card["codes"])
        # The first run of a session takes many times as long as the others.
        self._session.run(None, {"flights": features.prepare([features.EXAMPLE], self._codes)})
        log.info(
            "model loaded",
            extra={
                "model": self.card["name"],
                "sha256": self.card["sha256"],
                "threads": self.threads,
                "seconds": round(perf_counter() - began, 3),
            },
        )

    def prepare(self, flights: Sequence[Flight]) -> Rows:
        """Turn flights into the rows of numbers that the model was trained on."""
        return features.prepare(flights, self._codes)

    def predict(self, rows: Rows) -> Probabilities:
        """The probability to be late for each row: shape (rows,).

        It runs in the event loop: a row takes less time than handing it to a thread and back.
        """
        answer: Probabilities = self._session.run(["probabilities"], {"flights": rows})[0]
        return answer[:, 1]


def one_at_a_time(function: Callable[Given, Result]) -> Callable[Given, Awaitable[Result]]:
    """The function with one worker and a queue before it, as most model servers have.

    The event loop stays free. What has been taken in is worked off in turn, also when whoever asked
    has left. The queue has no bound, as in those servers: where more comes than is worked off, it
    grows and everyone waits longer. What bounds it stands in front: a proxy's limit, a caller's
    deadline, a breaker. Raises what the function raises.
    """
    worker = ThreadPoolExecutor(max_workers=1)

    async def queued(*arguments: Given.args, **named: Given.kwargs) -> Result:
        call = partial(function, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(worker, call)

    return queued


def create_app(title: str, model: Model) -> Service:
    """A service that loads `model` before it is ready and shows its card at /model.

    >>> model = Model()
    >>> app = create_app("web-single", model)
    >>> @app.post("/predict")
    ... async def predict(flight: Flight) -> Forecast: ...
    """

    @asynccontextmanager
    async def loaded(_: Service) -> AsyncIterator[None]:
        model.load()
        yield

    app = Service(title, lifespan=loaded)

    @app.get("/model", tags=["operation"])
    async def card() -> dict[str, Any]:
        """The card of the model that answers: its data, features with units, metrics, hash."""
        return model.card

    return app
