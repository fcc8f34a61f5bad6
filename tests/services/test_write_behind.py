"""Rows that are written down later."""

import asyncio
import time

import pytest
from starlette.testclient import TestClient

from lab_services.services.service import Service
from lab_services.services.write_behind import WriteBehind


class Log:
    """A log that may be away, or be slow."""

    def __init__(self):
        self.rows, self.away, self.during = [], False, lambda: None

    async def write(self, rows):
        await asyncio.sleep(0)
        self.during()
        if self.away:
            raise ConnectionError("away")
        self.rows += rows


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def behind(log):
    return WriteBehind(log.write, away=ConnectionError, every=0.01, most=3)


def add(behind, *rows):
    for row in rows:
        behind.add(row)


def test_what_the_log_does_not_take_is_kept_in_order(behind, log):
    """Rows that are lost with the log, or come in another order afterwards."""
    add(behind, 1, 2)
    log.away = True
    assert not asyncio.run(behind.flush())
    behind.add(3)
    log.away = False
    assert asyncio.run(behind.flush())
    assert log.rows == [1, 2, 3]
    assert len(behind) == 0 and asyncio.run(behind.flush())


def test_rows_that_come_while_others_are_written_stay(behind, log):
    """A buffer that is full and moves meanwhile: rows dropped that nobody has written."""
    add(behind, 1, 2, 3)
    log.during = lambda: add(behind, 4)  # no room: it is counted, and takes no other one's place
    asyncio.run(behind.flush())
    log.during = lambda: add(behind, 6)
    add(behind, 5)
    asyncio.run(behind.flush())
    log.during = lambda: None
    asyncio.run(behind.flush())
    assert (log.rows, behind.lost) == ([1, 2, 3, 5, 6], 1)


def test_a_write_that_is_cancelled_keeps_its_rows(behind, log):
    """A service that is stopped just while it writes, and loses what it had taken."""

    async def stopped():
        writing = asyncio.create_task(behind.flush())
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])

    behind.add(1)
    asyncio.run(stopped())
    assert len(behind) == 1 and not log.rows


def test_it_writes_while_the_service_runs_and_when_it_stops(behind, log):
    """The last rows of a service, lost with it; rows that wait until then."""
    with TestClient(Service("test", lifespan=behind.writing)):
        behind.add(1)
        give_up = time.monotonic() + 5
        while not log.rows:
            assert time.monotonic() < give_up
            time.sleep(0.005)
        behind.add(2)
    assert log.rows == [1, 2]


def test_what_is_lost_with_the_service_is_said(behind, log, caplog):
    """A log that is away at the end, and nobody knows what is missing in it."""
    log.away = True
    with TestClient(Service("test", lifespan=behind.writing)):
        behind.add(1)
    (record,) = [r for r in caplog.records if "lost with the service" in r.message]
    assert record.rows == 1


def test_a_write_that_is_wrong_shows(log):
    """A fault of the writing itself, taken for a log that is away: it tries it again for ever."""

    async def wrong(rows):
        raise KeyError("no such column")

    behind = WriteBehind(wrong, away=ConnectionError, every=0.01)
    behind.add(1)
    with (
        pytest.raises(KeyError),  # of the last try, when the service stops
        TestClient(Service("test", lifespan=behind.writing)) as client,
    ):
        give_up = time.monotonic() + 5
        while client.get("/ready").status_code == 200:
            assert time.monotonic() < give_up
        assert "no such column" in client.get("/ready").json()["reason"]


def test_two_that_write_at_once_write_each_row_once(behind, log):
    """Rows written twice, and then taken away from those that nobody has written."""
    add(behind, 1, 2)

    async def both():
        return await asyncio.gather(behind.flush(), behind.flush())

    assert asyncio.run(both()) == [True, True]
    assert log.rows == [1, 2] and len(behind) == 0
