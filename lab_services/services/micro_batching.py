"""Answer requests that wait at the same moment by one call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry

from lab_services.services.metrics import Histogram

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Many = Callable[[list[Asked]], list[Answer]]

_REQUESTS = [2.0**power for power in range(11)]


def one_by_one(many: Many[Asked, Answer]) -> Callable[[Asked], Awaitable[Answer]]:
    """A function of one from a function of many: each call is a call of `many`."""

    async def one(asked: Asked) -> Answer:
        (answer,) = many([asked])
        return answer

    return one


class MicroBatcher(Generic[Asked, Answer]):
    """A function of one from a function of many: calls that wait share one call of `many`.

    Nobody waits for a group to fill: it is closed once every request that had already arrived has
    been read, which is one turn of the event loop. Raises what `many` raises, to all of the group.
    """

    def __init__(self, many: Many[Asked, Answer], registry: CollectorRegistry) -> None:
        self._many = many
        self._sizes = Histogram(
            registry, "gathered_requests", "Requests that one call answered", _REQUESTS
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
        group, self._waiting = self._waiting, []
        self._sizes.series().observe(len(group))
        self._sizes.tally()
        try:
            answers = self._many([asked for asked, _ in group])
        except Exception as error:  # noqa: BLE001  each of those who wait gets it
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(group, answers, strict=True):
            if not future.done():
                future.set_result(answer)
