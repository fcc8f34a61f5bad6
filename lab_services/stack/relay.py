"""Relays between services that a lab cuts off from each other, for plain processes.

Plain processes share one loopback, which nobody but root can cut between two of them. So where the
Compose file names a pair under `x-partitions`, each of the two is given a relay's address for the
other, from its start: what passes is measured before, while and after they are cut off alike. All
relays of a stack run in one thread of its supervisor.

While a pair is cut off nothing passes in either direction, as in a network that drops packets: open
connections stay open and silent, and go on where they were when it is mended; new ones are not
established, since the relay's queue of them is full, and the system asks again for them (on
Linux after 1, 2, 4 … seconds). Two things differ from a network. What a service has sent is
acknowledged, by the relay, so its own system does not give the connection up; and a service that
has been killed is told from by a connection that is reset, not refused.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

R = TypeVar("R")
Pair = frozenset[str]

_BACKLOG = 1024
_FULL = 1  # the shortest queue of new connections that every system takes as it is told
_FILLERS = 16  # at most; some systems take a few more than they were told
_PATIENCE = 0.05  # seconds; loopback establishes a connection in far less
_CLOSE = 5.0  # seconds for the thread to end
_ANSWER = 30.0  # seconds for the thread to answer; on busy processors it may come late


class _Side(asyncio.Protocol):
    """One of the two connections through a relay."""

    def __init__(self, relay: "_Relay") -> None:
        self._relay = relay
        self.other: _Side | None = None
        self.transport: asyncio.Transport | None = None
        self._choked = False  # the other side takes no more

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._relay.sides.add(self)
        self.update()

    def update(self) -> None:
        """Read from it when the two are not cut off, and the other takes what is read."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.other is None or self._choked or self._relay.cut:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        self._choke(True)

    def resume_writing(self) -> None:
        self._choke(False)

    def _choke(self, choked: bool) -> None:
        if self.other is not None:
            self.other._choked = choked
            self.other.update()

    def eof_received(self) -> bool:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write_eof()
        return True  # the other direction goes on

    def connection_lost(self, error: Exception | None) -> None:
        self._relay.sides.discard(self)
        if self.other is not None and self.other.transport is not None:
            if error is None:
                self.other.transport.close()
            else:
                self.other.transport.abort()


class _Relay:
    """One address that leads to a port of loopback."""

    def __init__(self, listener: socket.socket, target: int, cut: bool) -> None:
        self.listener = listener
        self.target = target
        self.cut = False
        self.sides: set[_Side] = set()
        self._fillers: dict[Any, socket.socket] = {}  # by address
        self._joining: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        self._loop.add_reader(listener, self._accept)
        if cut:
            self.set(cut)

    def set(self, cut: bool) -> None:
        if cut == self.cut:
            return
        self.cut = cut
        if cut:
            self._loop.remove_reader(self.listener)
            self._fill()
        else:
            self.listener.listen(_BACKLOG)
            self._loop.add_reader(self.listener, self._accept)
        for side in self.sides:
            side.update()

    def _fill(self) -> None:
        """Fill the queue of new connections, so that the system drops what asks for one."""
        self.listener.listen(_FULL)
        with contextlib.suppress(TimeoutError):
            for _ in range(_FILLERS):
                filler = socket.create_connection(self.listener.getsockname(), _PATIENCE)
                self._fillers[filler.getsockname()] = filler

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            connection, address = self.listener.accept()
            if address in self._fillers:
                connection.close()
                self._fillers.pop(address).close()
                return
            joining = self._loop.create_task(self._join(connection))
            self._joining.add(joining)
            joining.add_done_callback(self._joining.discard)

    async def _join(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            _, far = await self._loop.create_connection(
                lambda: _Side(self), "127.0.0.1", self.target
            )
        except OSError:  # the service does not run
            reset = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            connection.close()
            return
        _, near = await self._loop.connect_accepted_socket(lambda: _Side(self), connection)
        near.other, far.other = far, near
        for side in (near, far):
            side.update()

    def close(self) -> None:
        self._loop.remove_reader(self.listener)
        self.listener.close()
        for filler in self._fillers.values():
            filler.close()
        for side in list(self.sides):
            if side.transport is not None:
                side.transport.abort()


class Relays:
    """Those of one stack."""

    def __init__(self) -> None:
        self._relays: dict[tuple[Pair, int], _Relay] = {}
        self._cut: set[Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._closing = threading.Lock()  # a stack may be told twice at once to go

    def port(self, pair: Pair, target: int, listener: Callable[[], socket.socket]) -> int:
        """The port that leads to the port `target` unless the pair is cut off.

        `listener` gives a socket at a free port, when there is no relay yet.
        """

        async def find() -> int:
            relay = self._relays.get((pair, target))
            if relay is None:
                relay = _Relay(listener(), target, pair in self._cut)
                self._relays[pair, target] = relay
            return int(relay.listener.getsockname()[1])

        return self._ask(find())

    def cut(self, pairs: set[Pair]) -> None:
        """Have exactly these pairs cut off."""

        async def cut() -> None:
            self._cut = set(pairs)
            for (pair, _), relay in self._relays.items():
                relay.set(pair in pairs)

        self._ask(cut())

    def close(self) -> None:
        """End every connection and the thread."""

        async def close() -> None:
            for relay in self._relays.values():
                relay.close()

        with self._closing:
            if self._loop.is_closed():
                return
            self._ask(close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_CLOSE)
            self._loop.close()

    def _ask(self, what: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(_ANSWER)
