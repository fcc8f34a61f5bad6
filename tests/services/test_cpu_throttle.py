"""The share of a core that a service keeps to: on clocks of the test's own."""

import asyncio

import pytest

from lab_services.errors import LabError
from lab_services.services import cpu_throttle as module
from lab_services.services.cpu_throttle import CpuThrottle


class Clock:
    """Two clocks: the wall's, and the processor's, which stands still while the process rests."""

    def __init__(self):
        self.wall, self.processor = 100.0, 3.0

    def work(self, seconds):
        self.wall += seconds
        self.processor += seconds

    async def sleep(self, seconds):
        self.wall += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.wall)
    monkeypatch.setattr(module.time, "process_time", lambda: clock.processor)
    monkeypatch.setattr(module.asyncio, "sleep", clock.sleep)
    return clock


def busy(clock, times, seconds=0.01, between=0.0):
    """Seconds of the wall for so many pieces of work one after another."""

    async def run():
        throttle = CpuThrottle()
        began = clock.wall
        for _ in range(times):
            async with throttle:
                clock.work(seconds)
            clock.work(between)
        return clock.wall - began

    return asyncio.run(run())


@pytest.mark.parametrize("share", [0.1, 0.3, 0.75])
def test_a_busy_process_keeps_to_its_share(clock, monkeypatch, share):
    """A worker that is faster, or slower, than its limit says."""
    monkeypatch.setenv("CPU_SHARE", str(share))
    assert busy(clock, 200) == pytest.approx(200 * 0.01 / share, rel=0.02)


def test_what_is_used_between_two_pieces_counts(clock, monkeypatch):
    """Reading requests would be free of charge."""
    monkeypatch.setenv("CPU_SHARE", "0.5")
    assert busy(clock, 200, 0.006, between=0.004) == pytest.approx(4.0, rel=0.02)


def test_a_whole_core_means_no_rest(clock):
    """A default that slows every service down."""
    assert busy(clock, 50) == pytest.approx(0.5)


def test_a_rest_that_lasts_too_long_is_made_up_for(clock, monkeypatch):
    """Timers that are late by a millisecond each time add up to a smaller share."""
    monkeypatch.setenv("CPU_SHARE", "0.5")

    async def late(seconds):
        clock.wall += seconds + 0.002

    monkeypatch.setattr(module.asyncio, "sleep", late)
    assert busy(clock, 200) == pytest.approx(4.0, rel=0.02)


def test_idle_time_cannot_be_saved_up(clock, monkeypatch):
    """After a quiet minute a worker would run at full speed for a while."""
    monkeypatch.setenv("CPU_SHARE", "0.25")

    async def run():
        throttle = CpuThrottle()
        async with throttle:
            clock.work(0.01)
        clock.wall += 60
        began = clock.wall
        for _ in range(100):
            async with throttle:
                clock.work(0.01)
        return clock.wall - began

    assert asyncio.run(run()) == pytest.approx(4.0, rel=0.02)


def test_one_piece_of_work_at_a_time_and_the_turn_goes_on_after_an_error():
    """Two requests in work at once, or a lock that an error leaves closed."""
    inside = []

    async def one(throttle, number):
        async with throttle:
            inside.append(number)
            assert len(inside) == 1
            await asyncio.sleep(0)
            inside.remove(number)
            if number == 1:
                raise RuntimeError

    async def run():
        throttle = CpuThrottle()
        return await asyncio.gather(*(one(throttle, n) for n in range(4)), return_exceptions=True)

    assert [type(end) for end in asyncio.run(run())] == [
        type(None),
        RuntimeError,
        type(None),
        type(None),
    ]


@pytest.mark.parametrize("share", ["0", "2", "half"])
def test_a_share_that_is_none_is_refused(monkeypatch, share):
    monkeypatch.setenv("CPU_SHARE", share)
    with pytest.raises(LabError, match="CPU_SHARE"):
        CpuThrottle()
