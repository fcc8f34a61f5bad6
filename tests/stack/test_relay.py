"""The relay between two plain processes: what passes, and what does not while they are cut off."""

import contextlib
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lab_services.stack.ports import free_port, hold
from lab_services.stack.relay import Relays

PAIR = frozenset({"web", "store"})


@pytest.fixture
def relays() -> Iterator[Relays]:
    """Relays whose thread ends with the test."""
    made = Relays()
    yield made
    made.close()
    assert not made._thread.is_alive()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A service that accepts when the test does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)
        yield listening


def relay_of(relays: Relays, target: int) -> tuple[str, int]:
    return "127.0.0.1", relays.port(PAIR, target, lambda: hold(set()))


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def test_what_passes(relays: Relays, server: socket.socket) -> None:
    """Bytes lost or turned round when one side reads slowly; an end that does not come through."""
    sent = bytes(range(256)) * 40_000
    address = relay_of(relays, port_of(server))
    assert relay_of(relays, port_of(server)) == address  # one relay for one port
    with socket.create_connection(address, 5) as near:
        far, _ = server.accept()
        with far:

            def write() -> None:
                near.sendall(sent)
                near.shutdown(socket.SHUT_WR)

            writing = threading.Thread(target=write)
            writing.start()
            threading.Event().wait(0.2)  # until all buffers are full
            with far.makefile("rb") as read:
                assert read.read() == sent
            writing.join()
            far.sendall(b"the other direction goes on")
        with near.makefile("rb") as read:
            assert read.read() == b"the other direction goes on"


def test_cut_off(relays: Relays, server: socket.socket) -> None:
    """A cut that refuses, or answers, where a network that drops packets is silent."""
    address = relay_of(relays, port_of(server))
    with (
        socket.create_connection(address, 5) as near,
        contextlib.closing(server.accept()[0]) as far,
    ):
        for side in (near, far):
            side.settimeout(0.2)
        relays.cut({PAIR})
        near.sendall(b"question")
        far.sendall(b"answer")
        for side in (near, far):
            with pytest.raises(TimeoutError):
                side.recv(16)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, 0.2)
        relays.cut(set())
        assert (near.recv(16), far.recv(16)) == (b"answer", b"question")
        with socket.create_connection(address, 5):
            server.accept()[0].close()
    server.settimeout(0.1)
    with pytest.raises(TimeoutError):  # nobody else was let through meanwhile
        server.accept()


def test_a_relay_that_is_made_while_its_pair_is_cut_off(
    relays: Relays, server: socket.socket
) -> None:
    """A replica that is started during the cut was reached."""
    relays.cut({PAIR})
    with pytest.raises(TimeoutError):
        socket.create_connection(relay_of(relays, port_of(server)), 0.2)


def test_a_service_that_does_not_run(relays: Relays) -> None:
    """A caller of a killed service that waits for an answer instead of an error."""
    address = relay_of(relays, free_port(set()))
    with pytest.raises(ConnectionResetError), socket.create_connection(address, 5) as near:
        near.recv(1)


def test_relays_without_processor_for_a_while(
    relays: Relays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some seconds on a busy machine, and no order was carried out for the stack any more."""
    monkeypatch.setattr("lab_services.stack.relay._CLOSE", 0.05)
    relays._loop.call_soon_threadsafe(time.sleep, 0.3)
    assert relay_of(relays, 1)[1] > 0
    monkeypatch.undo()  # the thread has its time to end


def test_two_who_close_at_once(relays: Relays, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack that is taken down while its caller goes: the second waited for a loop that ended."""
    ask = relays._ask

    def slow(what: Coroutine[Any, Any, Any]) -> Any:
        time.sleep(0.1)
        return ask(what)

    monkeypatch.setattr(relays, "_ask", slow)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: relays.close(), range(2)))
