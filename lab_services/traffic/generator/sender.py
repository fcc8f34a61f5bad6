"""Sending one request and telling the recorder what came of it."""

import time

from gevent.lock import BoundedSemaphore

from lab_services.traffic.generator.connections import Connections, Response
from lab_services.traffic.generator.recorder import Recorder
from lab_services.traffic.plan import Address, Target, WireRequest


class Sender:
    """Connections to all servers of a plan; at most `limit` are in use at once.

    A request that finds all of them in use waits for one, which shows as a late start, and is
    given up with the time that every request has.
    """

    def __init__(
        self,
        servers: dict[Target, list[Address]],
        timeout: float,
        limit: int,
        recorder: Recorder,
    ) -> None:
        self._pools = {
            target: Connections(addresses, timeout) for target, addresses in servers.items()
        }
        self._slots = BoundedSemaphore(limit)
        self._timeout = timeout
        self._limit = limit
        self._recorder = recorder
        self.waited = 0

    def open(self, count: int) -> None:
        """Have `count` connections to every server before the clock runs."""
        for pool in self._pools.values():
            pool.open(count)

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def send(self, number: int, message: WireRequest, intended: float, *, warmup: bool) -> None:
        """One exchange; `timeout` counts from the intended start, as for whoever waits."""
        answer = self._exchange(message, intended, intended + self._timeout)
        self._recorder.add(number, answer, warmup=warmup)

    def _exchange(self, message: WireRequest, intended: float, deadline: float) -> Response:
        if self._slots.locked():
            self.waited += 1
        if not self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
            now = time.monotonic()
            error = f"not sent: all {self._limit} connections in use for {self._timeout:g} s"
            return Response(now, now, 0, 0, error)
        self._recorder.sent += 1
        try:
            pool = self._pools[message.host, message.port]
            return pool.exchange(message, intended, deadline)
        finally:
            self._slots.release()
