"""A queue worker: it takes jobs from a Redis stream as one of a group, and loses none.

    worker = Worker.from_environment(handle)
    app = worker.service("worker", model.load)

A job stays with the group until `handle` has returned and the job is acknowledged. What a worker
leaves behind, because `handle` raised or because the worker died, is given to a worker again after
RECLAIM_SECONDS. So each job is worked on at least once, and sometimes more than once: `handle` must
bear that. A job that has been tried ATTEMPTS times goes to the stream `<STREAM>-dead`, with the
reason, and does not come back by itself; so does, untried, one whose fields are no UTF-8.

Environment: QUEUE_URL (required), STREAM (jobs), GROUP (workers), TAKE (1), RECLAIM_SECONDS (5),
ATTEMPTS (3; 0 is no limit).
"""

import logging
import math
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

from prometheus_client import Counter
from redis import Redis
from redis.exceptions import ConnectionError as QueueGone
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as QueueLate

from lab_services.errors import LabError
from lab_services.services import settings
from lab_services.services.service import Service

# An idle worker looks that often whether somebody left work behind. Seconds.
LOOK_SECONDS = 0.1
# Where the queue does not answer: until the next try. Seconds.
RETRY_SECONDS = 0.2
# How bytes that are no UTF-8 come out of the client: so that the job can be told, and refused.
_NO_TEXT = "surrogateescape"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A job: its place in the stream, its fields, and how often it has been given to a worker."""

    place: str
    fields: Mapping[str, str]
    attempt: int


class Worker:
    """Calls `handle` for each job of a stream that falls to this member of the group.

    `take` jobs are taken at a time and acknowledged together, as an offset is committed: a worker
    that dies leaves the whole handful behind, what it has finished of it included.
    `reclaim_seconds` must be longer than a living worker needs for a handful, or its jobs are
    given to others while it works on them. `attempts` is how often a job is tried; None
    is for ever. `redis` answers in text, and with surrogates for what is none.
    """

    def __init__(
        self,
        handle: Callable[[Job], None],
        redis: "Redis",
        stream: str = "jobs",
        group: str = "workers",
        *,
        take: int = 1,
        reclaim_seconds: float = 5.0,
        attempts: int | None = 3,
        name: str = "",
    ) -> None:
        self.handle, self.stream, self.group = handle, stream, group
        self.take, self.reclaim_seconds, self.attempts = take, reclaim_seconds, attempts
        # A worker that is started again is a new member: what the old one left is not its own.
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self.jobs = Counter(
            "jobs", "Jobs done, failed, refused, buried; and taken over", ["outcome"], registry=None
        )
        # redis-py's types stand for both its clients at once, and so say little.
        self._redis: Any = redis
        self._joined = False

    @classmethod
    def from_environment(cls, handle: Callable[[Job], None]) -> Self:
        """Raises LabError for a variable that is missing or out of range."""
        attempts = int(settings.number("ATTEMPTS", 3, low=0, high=1000))
        return cls(
            handle,
            Redis.from_url(
                settings.text("QUEUE_URL"), decode_responses=True, encoding_errors=_NO_TEXT
            ),
            settings.text("STREAM", "jobs"),
            settings.text("GROUP", "workers"),
            take=int(settings.number("TAKE", 1, low=1, high=1000)),
            reclaim_seconds=settings.number("RECLAIM_SECONDS", 5, low=0.01, high=86400),
            attempts=attempts or None,
        )

    @property
    def dead(self) -> str:
        """The stream of the jobs given up: their fields, and `reason`, `attempts` and `place`."""
        return f"{self.stream}-dead"

    def service(self, title: str, prepare: Callable[[], None] | None = None) -> Service:
        """A service with /ready and /metrics that works in a thread of its own.

        `prepare` is called before the first job. Told to stop, it finishes what it has taken.
        """

        @asynccontextmanager
        async def working(app: Service) -> AsyncIterator[None]:
            if prepare:
                prepare()
            stop = threading.Event()

            def work() -> None:
                try:
                    self.run(stop)
                except BaseException as error:
                    app.died = f"the worker died: {error!r}"
                    log.exception("the worker died")

            thread = threading.Thread(target=work, name="worker")
            thread.start()
            yield
            stop.set()
            thread.join()

        app = Service(title, lifespan=working)
        app.registry.register(self.jobs)
        return app

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. While the queue does not answer, ask again and again."""
        while not stop.is_set():
            try:
                self.turn()
            except RedisError as error:
                log.error("the queue does not answer", extra={"error": repr(error)})
                stop.wait(RETRY_SECONDS)

    def turn(self, wait: float = LOOK_SECONDS) -> int:
        """Take jobs once, work on them, and acknowledge what is finished; how many were taken.

        What was left behind comes first. Waits up to `wait` seconds for a new job. Raises
        RedisError where the queue does not answer; what was taken is then left behind.
        """
        try:
            if not self._joined:
                self._join()
            jobs = self._left_behind() or self._new(wait)
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            self._joined = False  # the queue has been emptied, or has forgotten: join again
            return 0
        finished = [job.place for job in jobs if self._finish(job)]
        if finished:
            self._redis.xack(self.stream, self.group, *finished)
        return len(jobs)

    def _join(self) -> None:
        try:
            # From the first job on, also those that were there before any worker.
            self._redis.xgroup_create(self.stream, self.group, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._joined = True

    def _left_behind(self) -> list[Job]:
        """Jobs that were taken longer than `reclaim_seconds` ago and are not acknowledged."""
        idle = round(self.reclaim_seconds * 1000)
        cursor = "0-0"
        entries: list[Any] = []
        while not entries:  # one call looks at a part of what is taken
            cursor, entries, *_ = self._redis.xautoclaim(
                self.stream, self.group, self.name, idle, cursor, self.take
            )
            if cursor == "0-0":
                break
        jobs = []
        for place, fields in entries:
            told = self._redis.xpending_range(self.stream, self.group, place, place, 1)
            job = Job(place, fields, told[0]["times_delivered"] if told else 1)
            self.jobs.labels("reclaimed").inc()
            if self._refused(job):
                continue
            if self.attempts and job.attempt > self.attempts:
                self._bury(job, "no attempt is left, and no worker has said why")
            else:
                jobs.append(job)
        return jobs

    def _new(self, wait: float) -> list[Job]:
        block = max(1, round(wait * 1000))
        streams = {self.stream: ">"}
        answer = self._redis.xreadgroup(self.group, self.name, streams, self.take, block)
        jobs = [Job(place, fields, 1) for _, entries in answer or () for place, fields in entries]
        return [job for job in jobs if not self._refused(job)]

    def _refused(self, job: Job) -> bool:
        """Whether its fields are no text; then it is buried, written as text."""
        told = {_as_text(name): _as_text(value) for name, value in job.fields.items()}
        if told == job.fields:
            return False
        log.warning("a job is no UTF-8", extra={"place": job.place})
        self.jobs.labels("refused").inc()
        self._bury(replace(job, fields=told), "its fields are no UTF-8")
        return True

    def _finish(self, job: Job) -> bool:
        """True where the job is done; a job that failed is left behind, or buried."""
        try:
            self.handle(job)
        except (QueueGone, QueueLate):
            raise  # not the job's fault
        except Exception as error:  # noqa: BLE001  whatever it is, the next job must not suffer
            log.warning("a job failed", extra={"place": job.place, "error": repr(error)})
            self.jobs.labels("failed").inc()
            if self.attempts and job.attempt >= self.attempts:
                self._bury(job, repr(error))
            return False
        self.jobs.labels("done").inc()
        return True

    def _bury(self, job: Job, reason: str) -> None:
        """In one transaction: the job is in one of the two streams at any moment, not in both."""
        told = {"reason": reason, "attempts": str(job.attempt), "place": job.place}
        with self._redis.pipeline(transaction=True) as both:
            both.xadd(self.dead, {**job.fields, **told})
            both.xack(self.stream, self.group, job.place)
            both.execute()
        self.jobs.labels("buried").inc()


def _as_text(text: str) -> str:
    """With backslashes for the bytes that are no UTF-8."""
    return text.encode(errors=_NO_TEXT).decode(errors="backslashreplace")


def wait_until_done(
    redis: "Redis", stream: str = "jobs", group: str = "workers", *, patience: float
) -> None:
    """Wait until each job of a stream is done or buried, however long a slow machine takes.

    Raises LabError where some are left and none of them was done for `patience` seconds, or where
    nobody has joined the group.
    """
    client: Any = redis
    least, until = math.inf, time.monotonic() + patience
    while True:
        # An emptied queue is not there until a worker has joined it again.
        found = client.xinfo_groups(stream) if client.exists(stream) else []
        groups = {each["name"]: _left(each) for each in found}
        left = groups.get(group, math.inf)
        if left == 0:
            return
        if left < least:
            least, until = left, time.monotonic() + patience
        if time.monotonic() > until:
            raise LabError(f"Jobs were left, and none was done for {patience:g} s: {groups}.")
        time.sleep(0.02)


def _left(group: dict[str, Any]) -> float:
    """Jobs of a group that are not done; infinite where Redis cannot tell (jobs were deleted)."""
    return math.inf if group["lag"] is None else float(group["lag"] + group["pending"])
