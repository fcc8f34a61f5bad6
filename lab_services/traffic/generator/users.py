"""Locust users: one that keeps a schedule (open loop), and those that wait for answers (closed)."""

import time
from collections.abc import Callable
from itertools import count, repeat

import gevent
from gevent.event import AsyncResult
from gevent.pool import Group
from locust import User, task
from locust.exception import StopUser

from lab_services.traffic.generator.sender import Sender
from lab_services.traffic.generator.timer import Timer
from lab_services.traffic.plan import ClosedPlan, OpenPlan

# Seconds before its start at which a request is made ready: a wake-up of the process and a new
# greenlet take some 0.15 ms, which would stand in every latency.
_EARLY = 0.0003


def open_loop(
    plan: OpenPlan,
    sender: Sender,
    ready: Callable[[], None],
    begin: AsyncResult,
    finished: Callable[[], None],
) -> type[User]:
    """A single user that starts every request at its time, whatever became of those before."""

    class Schedule(User):
        @task
        def keep(self) -> None:
            timer = Timer()
            sender.open(plan.connections)
            ready()
            zero = begin.get()
            under_way = Group()
            try:
                for offset, pick, number in zip(
                    plan.offsets, plan.request_index, plan.arrival_index, strict=True
                ):
                    timer.sleep_until(zero + offset - _EARLY)
                    under_way.spawn(
                        sender.send, number, plan.messages[pick], zero + offset, warmup=offset < 0
                    )
                under_way.join()
            finally:  # an interrupt ends this greenlet; what is under way is not recorded
                under_way.kill()
                timer.close()
                sender.close()
            finished()
            raise StopUser

    return Schedule


def closed_loop(
    plan: ClosedPlan,
    sender: Sender,
    begin: AsyncResult,
    finished: Callable[[], None],
) -> type[User]:
    """Users that send the next request when the answer to the last one has come.

    The plan's count is taken from before a request is sent, so that no two users share the last.
    """
    allowed = repeat(True) if plan.count is None else repeat(True, plan.count)
    request_index = count(plan.first, plan.workers)
    running = 0

    class Asker(User):
        def on_start(self) -> None:
            nonlocal running
            running += 1
            self.zero = begin.get()
            gevent.sleep(max(0.0, self.zero - plan.warmup - time.monotonic()))

        @task
        def ask(self) -> None:
            now = time.monotonic()
            warmup = now < self.zero
            if not warmup and not (now < self.zero + plan.end and next(allowed, False)):
                raise StopUser
            pick = next(request_index) % len(plan.messages)
            sender.send(pick, plan.messages[pick], now, warmup=warmup)

        def on_stop(self) -> None:
            nonlocal running
            running -= 1
            if not running:
                finished()

    return Asker
