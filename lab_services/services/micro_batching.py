"""Answer requests that wait at the same moment by one call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Histogram

from lab_services.services import settings

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Many = Callable[[list[Asked]], list[Answer]]

_REQUESTS = [2.0**power for power in range(11)]


def micro_batched(
    many: Many[Asked, Answer], registry: CollectorRegistry
) -> Callable[[Asked], Awaitable[Answer]]:
    """A function of one from a function of many.

    With MICRO_BATCHING=1 in the environment, calls that wait at the same moment share a call of
    `many`; else (0, the default) each has its own. Raises LabError for another value.
    """
    if settings.switch("MICRO_BATCHING", default=False):
        return MicroBatcher(many, registry)

    async def one(asked: Asked) -> Answer:
        (answer,) = many([asked])
        return answer

    return one


class MicroBatcher(Generic[Asked, Answer]):
    """A function of one from a function of many: calls that wait share one call of `many`.

    Nobody waits for a batch to fill: it is closed once every request that had already arrived has
    been read, which is one turn of the event loop. Raises what `many` raises, to all of the batch.
    """

    def __init__(self, many: Many[Asked, Answer], registry: CollectorRegistry) -> None:
        self._many = many
        self._sizes = Histogram(
            "micro_batch_requests",
            "Requests that one call answered",
            buckets=_REQUESTS,
            registry=registry,
        )
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []

    def __call__(self, asked: Asked) -> Awaitable[Answer]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._close)
        self._waiting.append((asked, future))
        return future

    def _close(self) -> None:
        batch, self._waiting = self._waiting, []
        self._sizes.observe(len(batch))
        try:
            answers = list(self._many([asked for asked, _ in batch]))
            if len(answers) != len(batch):
                raise ValueError(f"{len(answers)} answers came to {len(batch)} requests.")
        except Exception as error:  # noqa: BLE001  each of those who wait gets it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
