"""A generator: takes plans on standard input, sends rows on standard output, until its input ends.

    python -m lab_services.traffic.generator

It stays between runs, because starting Locust takes longer than many a measurement.
"""

import locust  # noqa: F401, I001 - first: it patches the standard library for gevent

import gc
import os
import resource
import time
from typing import Any, BinaryIO

import gevent
from gevent.event import AsyncResult
from gevent.fileobject import FileObject
from gevent.queue import SimpleQueue
from locust.env import Environment
from locust.event import Events
from locust.runners import Runner, WorkerRunner

from lab_services.traffic.generator.frame_writer import FrameWriter
from lab_services.traffic.generator.pulse import Pulse
from lab_services.traffic.generator.recorder import Recorder
from lab_services.traffic.generator.sender import Sender
from lab_services.traffic.generator.users import closed_loop, open_loop
from lab_services.traffic.plan import Done, OpenPlan, Plan, read_frame

Frame = tuple[str, Any]

_CONNECTIONS = 2048
_OTHER_FILES = 128


def main() -> None:
    # What a library prints must not get between the frames.
    frames = FrameWriter(FileObject(os.dup(1), "wb"))
    os.dup2(2, 1)
    inbox: SimpleQueue[Frame] = SimpleQueue()
    # A fault in any greenlet ends the generator, so that no row is lost without a word.
    hub = gevent.get_hub()
    hub.SYSTEM_ERROR = (*hub.SYSTEM_ERROR, Exception)
    gevent.spawn(_listen, FileObject(0, "rb"), inbox)
    limit = _connection_limit()
    gc.freeze()  # the imports are not searched for garbage in the middle of a measurement
    while True:
        _, plan = inbox.get()
        _run(plan, inbox, frames, limit)


def _listen(stream: BinaryIO, inbox: SimpleQueue[Frame]) -> None:
    while (frame := read_frame(stream)) is not None:
        inbox.put(frame)
    os._exit(0)  # the caller is gone: nobody is left to send for


def _run(plan: Plan, inbox: SimpleQueue[Frame], frames: FrameWriter, limit: int) -> None:
    begin = AsyncResult()
    recorder = Recorder(frames)
    sender = Sender(plan.servers, plan.timeout, limit, recorder)
    events = Events()  # type: ignore[no-untyped-call]

    def ready(**_: Any) -> None:
        frames.put("ready")

    def finished() -> None:
        inbox.put(("finished", None))

    if isinstance(plan, OpenPlan):
        user = open_loop(plan, sender, ready, begin, finished)
    else:
        user = closed_loop(plan, sender, begin, finished)
        events.spawning_complete.add_listener(ready)  # type: ignore[no-untyped-call]
    environment = Environment(user_classes=[user], events=events, catch_exceptions=False)
    runner = _start(environment, plan, frames)
    since = time.monotonic(), time.process_time()
    pulse = Pulse()
    while True:
        kind, content = inbox.get()
        if kind != "go":
            break
        since = time.monotonic(), time.process_time()
        begin.set(content)
    clock, processor = (
        now - then for now, then in zip((time.monotonic(), time.process_time()), since, strict=True)
    )
    # A worker that is through stays with its master until the run ends its process: the users of a
    # worker that is missed go to the others.
    if kind == "stop" or not isinstance(runner, WorkerRunner):
        runner.quit()
    recorder.finish()
    frames.put("done", Done(processor / clock, sender.waited, limit, pulse.ended()))


def _start(environment: Environment, plan: Plan, frames: FrameWriter) -> Runner:
    if isinstance(plan, OpenPlan):
        return _local(environment, 1)
    if plan.role == "alone":
        return _local(environment, plan.users)
    if plan.role == "worker":
        return environment.create_worker_runner("127.0.0.1", plan.master_port)
    master = environment.create_master_runner("127.0.0.1", 0)
    frames.put("listening", master.server.port)
    while len(master.clients.ready) < plan.workers:
        gevent.sleep(0.01)
    master.start(plan.users, spawn_rate=plan.users)
    return master


def _local(environment: Environment, users: int) -> Runner:
    runner = environment.create_local_runner()
    runner.start(users, spawn_rate=users)
    return runner


def _connection_limit() -> int:
    """How many connections may be in use: the system must allow an idle one beside each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _CONNECTIONS + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return (soft - _OTHER_FILES) // 2
    return _CONNECTIONS


if __name__ == "__main__":
    main()
