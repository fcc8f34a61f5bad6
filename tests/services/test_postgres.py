"""PostgreSQL as a service: it comes up, keeps what it was given, and goes when told."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def begin(tmp_path: Path, port: int) -> Iterator[Begin]:
    begun = []

    def one(**environment: str) -> "subprocess.Popen[str]":
        settings = {"PORT": str(port), "POSTGRES_PASSWORD": "secret", **environment}
        process = subprocess.Popen(
            [sys.executable, "-m", "lab_services.services.postgres"],
            env={**os.environ, **settings},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        begun.append(process)
        return process

    yield one
    for process in begun:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


def connect(port: int, password: str = "secret", seconds: float = 30) -> "psycopg.Connection":
    until = time.monotonic() + seconds
    while True:
        try:
            return psycopg.connect(
                f"host=127.0.0.1 port={port} user=postgres password={password} dbname=postgres"
            )
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def test_what_was_committed_outlives_a_kill(begin: Begin, port: int) -> None:
    """A database that forgets, or that cannot start again over what a kill left behind."""
    process = begin()
    with connect(port) as connection:
        connection.execute("create table flight (number int)")
        connection.execute("insert into flight values (1545)")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    begin()
    with connect(port) as connection:
        assert connection.execute("select number from flight").fetchall() == [(1545,)]


def test_it_ends_while_a_client_is_connected(begin: Begin, port: int) -> None:
    """A stop that waits for the last client."""
    process = begin()
    with closing(connect(port)):
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0


def test_a_wrong_password_is_refused(begin: Begin, port: int) -> None:
    """A database on a shared machine that is open to all who find its port."""
    begin()
    connect(port).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(port, password="guessed", seconds=0)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"POSTGRES_PASSWORD": ""}, "POSTGRES_PASSWORD is empty"),
        ({"PORT": "many"}, "PORT is 'many'"),
        ({"POSTGRES_USER": "pg_mine"}, "initdb failed"),
    ],
)
def test_a_wrong_setting_is_named(
    begin: Begin, tmp_path: Path, environment: dict[str, str], says: str
) -> None:
    """A traceback, or half a database left behind."""
    process = begin(**environment)
    printed = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert says in printed and "Traceback" not in printed
    assert list(tmp_path.iterdir()) == []
